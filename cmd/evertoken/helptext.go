package main

import "strings"

// example shows in a help text how a command is used, with a line for each use.
func example(lines ...string) string {
	var b strings.Builder
	b.WriteString("Example:\n")
	for _, line := range lines {
		b.WriteString("\n  evertoken " + line)
	}
	return b.String()
}
