//go:build !race && real && linux

package drivertest

// many is how many sessions a large table has.
const many = 1_000_000
