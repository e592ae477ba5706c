package redisstore

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/tokenstore"
)

func TestErrorsNameThePackageOnce(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for want, err := range map[string]error{
		`redisstore: read session "a": no such session`:  failed(about("read", "a"), tokenstore.ErrNotFound),
		`redisstore: save session "a": context canceled`: check(ended, "save", "a"),
	} {
		if got := err.Error(); got != want {
			t.Errorf("text %q; want %q", got, want)
		}
	}
}

func TestErrorsOfListsNameThePackageOnce(t *testing.T) {
	nobody := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	defer nobody.Close()
	s, err := New(nobody, Config{})
	if err != nil {
		t.Fatal(err)
	}
	for what, call := range map[string]func() error{
		"Names":   func() error { _, err := s.Names(t.Context()); return err },
		"Records": func() error { _, err := s.Records(t.Context()); return err },
		"Pages": func() (err error) {
			for _, err = range s.Pages(t.Context(), 1) {
			}
			return err
		},
		"Count":   func() error { _, err := s.Count(t.Context()); return err },
		"Cleanup": func() error { _, err := s.Cleanup(t.Context()); return err },
		"Time":    func() error { _, err := s.Time(t.Context()); return err },
	} {
		if err := call(); err == nil || strings.Count(err.Error(), "redisstore: ") != 1 || !errors.Is(err, tokenstore.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Of an error reply nothing is passed on but the word that it begins with.
func TestReplyCodeIsAWordInCapitals(t *testing.T) {
	for reply, want := range map[string]string{
		"ASK 1 127.0.0.1:1": "ASK", "AZ": "AZ", "ZA secret": "ZA", "BUSY": "BUSY", "": "",
		"secret": "ERR", "SECREt": "ERR", "A1": "ERR", "[A": "ERR", "@A": "ERR", "A[": "ERR", "ÄB": "ERR",
	} {
		if got := replyCode(reply); got != want {
			t.Errorf("%q: %q; want %q", reply, got, want)
		}
	}
}
