//go:build !unix

package main

// forbidDumps does nothing: where Windows writes dumps, an administrator has said so.
func forbidDumps() {}

// forbidChildrensDumps does nothing, like forbidDumps.
func forbidChildrensDumps() {}
