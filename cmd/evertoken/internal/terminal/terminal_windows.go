package terminal

import (
	"os"

	"golang.org/x/sys/windows"
)

// enableANSI makes the console understand escape sequences. It reports false on
// consoles that cannot.
func enableANSI(f *os.File) bool {
	h := windows.Handle(f.Fd())
	var mode uint32
	if windows.GetConsoleMode(h, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
