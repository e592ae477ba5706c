package bridge

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEventsAreReadAsHTMLHasThem(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for name, tt := range map[string]struct {
		stream string
		want   []string // data, and the ID if there is one
	}{
		"LF":              {"id: 1\ndata: a\ndata: b\n\ndata: c\n\n", []string{"a\nb #1", "c"}},
		"CR":              {"id: 1\rdata: a\rdata: b\r\rdata: c\r\r", []string{"a\nb #1", "c"}},
		"CR and LF":       {"id: 1\r\ndata: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n", []string{"a\nb #1", "c"}},
		"all of them":     {"data: a\r\ndata: b\rdata: c\n\r\ndata: d\r\n\n", []string{"a\nb\nc", "d"}},
		"long":            {"data: " + long + "\r\r", []string{long}},
		"BOM":             {"\ufeffdata: a\n\ndata: b\n\n", []string{"a", "b"}},
		"BOM and a break": {"\ufeff\n\ufeffdata: a\ndata: b\n\n", []string{"b"}},
		"cut":             {"data: a\r\rdata: b\r", []string{"a"}},
		"ID with NUL":     {"id: a\x00b\ndata: a\n\n", []string{"a"}},
		"ID with control": {"id: a\x01b\ndata: a\n\nid: a\x7f\ndata: b\n\n", []string{"a", "b"}},
		"ID without end":  {"id: " + long + "\ndata: a\n\n", []string{"a"}},
		"ID with more":    {"id: é\t/1\ndata: a\n\n", []string{"a #é\t/1"}},
	} {
		for reader, read := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader} {
			t.Run(name+" "+reader, func(t *testing.T) {
				events := newEventReader(read(strings.NewReader(tt.stream)))
				var got []string
				for {
					ev, err := events.next()
					if err != nil {
						if !errors.Is(err, io.EOF) {
							t.Error(err)
						}
						break
					}
					text := string(ev.data)
					if ev.hasID {
						text = fmt.Sprint(text, " #", ev.id)
					}
					got = append(got, text)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		}
	}
}

// An event whose end is CR is there before the next byte.
func TestAnEventThatEndsWithCRIsNotWaitedFor(t *testing.T) {
	body, server := io.Pipe()
	go func() { _, _ = io.WriteString(server, "data: a\r\r") }()
	if ev, err := newEventReader(body).next(); err != nil || string(ev.data) != "a" {
		t.Errorf("got %q, %v", ev.data, err)
	}
}
