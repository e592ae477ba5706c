package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const equivalentFile = "internal/mutants/equivalent.txt"

// equivalents are mutants that behave like the original, with the reason.
type equivalents map[string]string

// readEquivalent reads equivalent.txt: a mutant in a line, as a run prints it, and in
// indented lines below it why no test can notice it.
func readEquivalent(root string) (equivalents, error) {
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(equivalentFile)))
	if err != nil {
		return nil, err
	}
	known, keys := equivalents{}, []string(nil) // keys: those that wait for their reason
	for i, line := range strings.Split(string(data), "\n") {
		reason := strings.TrimSpace(line)
		switch {
		case reason == "" || strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, " "):
			if len(keys) > 0 && known[keys[0]] != "" {
				keys = nil
			}
			if _, twice := known[line]; twice {
				return nil, fmt.Errorf("%s:%d: named twice", equivalentFile, i+1)
			}
			keys, known[line] = append(keys, line), ""
		case len(keys) == 0:
			return nil, fmt.Errorf("%s:%d: a reason without a mutant", equivalentFile, i+1)
		default:
			for _, key := range keys {
				known[key] = strings.TrimSpace(known[key] + " " + reason)
			}
		}
	}
	for key, reason := range known {
		if reason == "" {
			return nil, fmt.Errorf("%s: no reason for %s", equivalentFile, key)
		}
	}
	return known, nil
}

// unknown lists those that are not among the mutants.
func (known equivalents) unknown(mutants []*mutant) string {
	there := map[string]bool{}
	for _, m := range mutants {
		there[m.key()] = true
	}
	var b strings.Builder
	for key := range known {
		if !there[key] {
			fmt.Fprintln(&b, key)
		}
	}
	return b.String()
}
