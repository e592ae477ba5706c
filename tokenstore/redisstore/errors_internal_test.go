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

// Redis 6.2 wraps the error of a command in a script: what the server lacks at the moment
// is the same, and so is what is passed on of it.
func TestErrorsInScriptsOfRedis62AreThoseOfTheirCommands(t *testing.T) {
	const in = "ERR Error running script (call to f_1d9c3a7ffcb8ff1b2d2a7c3c3df6f6b5b2a5e8c1): @user_script:22: "
	for reply, want := range map[string]struct {
		code        string
		unavailable bool
	}{
		in + "@user_script: 22: -READONLY You can't write against a read only replica.":                                               {"READONLY", true},
		in + "@user_script: 22: -OOM command not allowed when used memory > 'maxmemory'.":                                             {"OOM", true},
		in + "@user_script: 22: -MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk":  {"MISCONF", true},
		in + "@user_script: 22: -NOREPLICAS Not enough good replicas to write.":                                                       {"NOREPLICAS", true},
		in + "WRONGTYPE Operation against a key holding the wrong kind of value":                                                      {"WRONGTYPE", false},
		in + "@user_script: 22: Script attempted to access a non local key in a cluster node":                                         {"ERR", false},
		in + "ERR value is not an integer or out of range":                                                                            {"ERR", false},
		"ERR Error running script (call to secret): @user_script:22: OOM":                                                             {"ERR", false},
		"READONLY You can't write against a read only replica. script: 1d9c3a7ffcb8ff1b2d2a7c3c3df6f6b5b2a5e8c1, on @user_script:22.": {"READONLY", true}, // Redis 7
	} {
		if got := replyCode(reply); got != want.code {
			t.Errorf("%q: %q; want %q", reply, got, want.code)
		}
		if err := judgeError(answer(reply)); errors.Is(err, tokenstore.ErrUnavailable) != want.unavailable {
			t.Errorf("%q: %v; want ErrUnavailable: %t", reply, err, want.unavailable)
		}
	}
}

// An answer is an error that a server replies.
type answer string

func (a answer) Error() string { return string(a) }
func (answer) RedisError()     {}
