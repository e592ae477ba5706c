package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/tokenstore"
)

// A listenedTo is a Redis that knows of subscriptions alone, over pipes, so that time can
// run in a bubble.
type listenedTo struct {
	deaf  bool // it answers no ping
	pings atomic.Int32
	open  atomic.Int32 // connections
}

// store returns a store that talks to r.
func (r *listenedTo) store(t *testing.T, lease time.Duration) *Store {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:1", Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go r.serve(theirs)
			return ours, nil
		},
	})
	t.Cleanup(func() { _ = client.Close() })
	s, err := New(client, Config{LeaseTime: lease})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve answers commands until the connection is closed.
func (r *listenedTo) serve(c net.Conn) {
	r.open.Add(1)
	defer r.open.Add(-1)
	defer func() { _ = c.Close() }()
	for in := bufio.NewReader(c); ; {
		words, err := readCommand(in)
		if err != nil {
			return
		}
		answer := "-ERR unknown command\r\n"
		switch strings.ToLower(words[0]) {
		case "subscribe":
			answer = fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(words[1]), words[1])
		case "ping":
			if r.pings.Add(1); r.deaf {
				continue
			}
			answer = "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

// readCommand reads an array of strings (RESP).
func readCommand(in *bufio.Reader) (words []string, err error) {
	number := func() (n int, err error) {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	for range n {
		size, err := number()
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, err
		}
		words = append(words, string(word[:size]))
	}
	return words, err
}

// A connection that is silent is doubted after 15 seconds, or a lease if that is less; if
// Redis does not answer for as long again, Watch ends, and its connection too.
func TestWatchEndsWhenRedisDoesNotAnswer(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{time.Second: 2 * time.Second, 0: 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := &listenedTo{deaf: true}
			s := r.store(t, lease)
			begun, calls := time.Now(), 0
			err := s.Watch(t.Context(), func(tokenstore.Change) { calls++ })
			if d := time.Since(begun); !errors.Is(err, tokenstore.ErrUnavailable) || d != want || calls != 1 {
				t.Errorf("a lease of %v: after %v and %d calls: %v; want %v", lease, d, calls, err, want)
			}
			synctest.Wait()
			if n := r.open.Load(); n != 0 || r.pings.Load() != 1 {
				t.Errorf("a lease of %v: %d connections are open; pinged %d times", lease, n, r.pings.Load())
			}
		})
	}
}

func TestWatchGoesOnWhileRedisAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(listenedTo)
		s := r.store(t, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		begun := time.Now()
		err := s.Watch(ctx, func(tokenstore.Change) {})
		if d := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || d != 10*time.Minute {
			t.Errorf("after %v: %v", d, err)
		}
		if n := r.pings.Load(); n < 38 || n > 40 {
			t.Errorf("pinged %d times in ten minutes; want once every 15 seconds", n)
		}
		synctest.Wait()
		if n := r.open.Load(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
	})
}
