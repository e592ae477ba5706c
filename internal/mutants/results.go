package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// results are the mutants that were noticed in earlier runs, in a file with a line for
// each: its function's version, its key and what noticed it, with tabs between.
type results struct {
	path string // "": they are not kept

	mu      sync.Mutex // guards what follows, and the file
	noticed map[string]bool
}

// readResults reads a file of results, which need not exist.
func readResults(path string) (*results, error) {
	r := &results{path: path, noticed: map[string]bool{}}
	if path == "" {
		return r, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	whole := bytes.LastIndexByte(data, '\n') + 1 // a run that was killed may have left half a line
	for line := range strings.Lines(string(data[:whole])) {
		if end := strings.LastIndexByte(line, '\t'); end > 0 {
			r.noticed[line[:end]] = true
		}
	}
	return r, err
}

// entry is how a file of results names a mutant.
func (m *mutant) entry() string { return m.version + "\t" + m.key() }

// without returns the mutants that were not noticed before, and how many were.
func (r *results) without(chosen []*mutant) (left []*mutant, noticed int) {
	for _, m := range chosen {
		if !r.noticed[m.entry()] {
			left = append(left, m)
		}
	}
	return left, len(chosen) - len(left)
}

// add keeps a verdict, if the mutant was noticed.
func (r *results) add(v *verdict) error {
	if r.path == "" || v.killer == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\t%s\n", v.entry(), v.killer)
	return errors.Join(err, f.Close())
}
