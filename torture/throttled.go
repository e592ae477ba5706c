package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// throttledWait is how long callers of a throttled session wait.
const throttledWait = 2 * time.Second

// throttledOne has the server send one of many sessions away for an hour. The others must
// be served as ever.
func (t *torture) throttledOne(ctx context.Context, c worker.Client, rand *rand.Rand) (*report.Row, error) {
	r := newRow(c, either(c, "one session's Retry-After 1 h", "one's Retry-After"))
	users := names(8)
	s, err := t.newPoolScene(ctx, c, r, users)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.cfg.MaxWait = throttledWait
	n := min(2, t.several(c))
	crowd, err := s.crowd(ctx, n)
	if err != nil {
		return nil, err
	}
	defer dismiss(crowd)
	sick := rand.IntN(len(users))
	hits := 0
	s.srv.Script(oauthtest.Fault{User: users[sick], Times: -1, Status: http.StatusTooManyRequests, RetryAfter: time.Hour})
	s.srv.ExpireAccess(users[sick])
	for range t.size.restores {
		asked := s.srv.Tokens.Asked()
		for _, p := range crowd {
			if p.Ask(ctx, worker.CmdCall+" "+users[sick]) == nil {
				r.Broken("the session was served that had been sent away for an hour")
			}
		}
		hits += s.srv.Tokens.Asked() - asked
		for i, user := range users {
			if i == sick {
				continue
			}
			s.srv.ExpireAccess(user)
			for _, got := range callBoth(ctx, crowd, user) {
				if got.err != nil {
					got.err = fmt.Errorf("%s, while %s waits: %w", user, users[sick], got.err)
				}
				r.CountServed(got.err, got.took)
			}
		}
		r.Rounds++
	}
	if longest := time.Duration(r.Wait) * time.Millisecond; longest > longestOne {
		r.TooSlow("a caller of another session waits %s", longest)
	}
	if hits > n {
		r.Broken("%d processes asked %d times for the session that was to wait for an hour", n, hits)
	}
	r.Note("One of each process's %d sessions is answered 429 with Retry-After: 3600. Each round it is called (and that "+
		"may fail, after %s), then the API no longer takes the others' access tokens, and callers call until they are served. While it was to "+
		"wait the server was asked %d times for it.", len(users), throttledWait, hits)
	if err := s.lossOfAny(ctx); err != nil {
		return nil, err
	}
	return r, s.finish(ctx)
}

// A called is what became of a call.
type called struct {
	err  error
	took time.Duration
}

// callBoth has processes call at once with a session's token, each until it is served, but
// not for longer than that may take.
func callBoth(ctx context.Context, crowd []*process.Process, session string) []called {
	all := make([]called, len(crowd))
	var calling sync.WaitGroup
	for i, p := range crowd {
		calling.Go(func() {
			begun := time.Now()
			err := p.Ask(ctx, worker.CmdCall+" "+session)
			for err != nil && time.Since(begun) < longestOne {
				_ = sleep.For(ctx, pace)
				err = p.Ask(ctx, worker.CmdCall+" "+session)
			}
			all[i] = called{err, time.Since(begun)}
		})
	}
	calling.Wait()
	return all
}
