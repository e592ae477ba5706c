package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// saved is the file of results that is checked in.
type saved struct {
	Machine []string   `json:"machine"` // what go test says of it
	Rows    []savedRow `json:"rows"`
}

type savedRow struct {
	Benchmark string             `json:"benchmark"`
	Unit      string             `json:"unit"`
	Rounds    int                `json:"rounds"`
	Median    map[string]float64 `json:"median"`          // by contender
	Ratio     map[string]float64 `json:"ratio,omitempty"` // of ours to theirs, by contender
}

// save returns the results as they are kept.
func (r *results) save(machine []string) *saved {
	s := &saved{Machine: machine}
	for _, at := range r.rows {
		kept := savedRow{
			Benchmark: at.benchmark, Unit: at.unit, Rounds: len(r.values[at][ours]),
			Median: make(map[string]float64), Ratio: make(map[string]float64),
		}
		kept.Median[ours], _ = r.median(at, ours)
		for _, c := range r.contenders {
			if value, known := r.median(at, c); known {
				kept.Median[c] = value
			}
			if ratio, known := r.ratio(at, c); known {
				kept.Ratio[c] = ratio
			}
		}
		s.Rows = append(s.Rows, kept)
	}
	return s
}

func (s *saved) median(at row, contender string) (float64, bool) {
	value, known := s.find(at).Median[contender]
	return value, known
}

func (s *saved) ratio(at row, contender string) (float64, bool) {
	value, known := s.find(at).Ratio[contender]
	return value, known
}

// find returns a row, or an empty one.
func (s *saved) find(at row) savedRow {
	for _, kept := range s.Rows {
		if kept.Benchmark == at.benchmark && kept.Unit == at.unit {
			return kept
		}
	}
	return savedRow{}
}

func readSaved(path string) (*saved, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := new(saved)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *saved) write(path string) error {
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// The table of a page is between these lines.
const (
	tableBegins = "<!-- make bench writes this table -->\n"
	tableEnds   = "<!-- end of table -->\n"
)

// updatePage replaces the table on a page.
func updatePage(path, table string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	next, err := withTable(string(text), table)
	if err != nil || bytes.Equal(text, []byte(next)) {
		return err
	}
	return os.WriteFile(path, []byte(next), 0o644)
}

func withTable(text, table string) (string, error) {
	before, rest, began := strings.Cut(text, tableBegins)
	_, after, ended := strings.Cut(rest, tableEnds)
	if !began || !ended {
		return "", fmt.Errorf("no place for the table: the lines %q and %q are missing", tableBegins, tableEnds)
	}
	return before + tableBegins + table + tableEnds + after, nil
}
