//go:build race && real && linux

package drivertest

// many is how many sessions a large table has: with the race detector, which makes reading
// one ten times as dear, fewer than a million.
const many = 200_000
