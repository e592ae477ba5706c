//go:build !linux

package ownfile

// hasList is for Linux: elsewhere lists do not show in a file's mode.
func hasList(string) bool { return false }
