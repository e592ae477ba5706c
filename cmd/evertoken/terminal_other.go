//go:build !windows

package main

import "os"

// enableANSI is needed on Windows only.
func enableANSI(*os.File) bool { return true }
