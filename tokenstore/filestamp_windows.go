package tokenstore

import "io/fs"

// fileID returns nothing: Windows tells files apart only once they are open, and
// dates them to 100 nanoseconds.
func fileID(fs.FileInfo) uint64 { return 0 }
