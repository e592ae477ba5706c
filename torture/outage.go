package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// callers is the command for so many callers who call until they are served.
func callers(n int) string { return fmt.Sprintf("%s %d", worker.CmdServed, n) }

// countSince takes in when callers were served, counted from when that was possible
// again.
func (s *scene) countSince(ctx context.Context, crowd []*process.Process, back time.Time, what string) error {
	for _, p := range crowd {
		var served worker.Served
		if err := p.ReplyWith(ctx, worker.VeryLong, &served); err != nil {
			s.row.CountServed(fmt.Errorf("%s: %w", what, err), p.Took())
			continue
		}
		for _, at := range served {
			wait := max(0, at.Sub(back))
			s.row.CountServed(nil, wait)
			s.row.Waits = append(s.row.Waits, wait)
		}
	}
	return ctx.Err()
}

// An outage is a way for a token endpoint to be away.
type outage struct {
	name       string
	down, back func(s *scene) error
	counted    bool // the server sees what arrives meanwhile
}

func faulty(name string, f oauthtest.Fault) outage {
	f.Times = -1
	return outage{
		name,
		func(s *scene) error { s.srv.Script(f); return nil },
		func(s *scene) error { s.srv.ClearScript(); return nil },
		true,
	}
}

var outages = []outage{
	{"connections are refused", func(s *scene) error { s.srv.Down(); return nil }, func(s *scene) error { return s.srv.Up() }, false},
	faulty("503", oauthtest.Fault{Status: http.StatusServiceUnavailable, Body: `{"error":"temporarily_unavailable"}`}),
	faulty("502 and a page", oauthtest.Fault{Status: http.StatusBadGateway, HTML: true}),
	faulty("connections are reset", oauthtest.Fault{Reset: true}),
}

// Recovery is to take no longer than this.
const (
	mostWait   = 2 * time.Second // nine of ten callers
	longestOne = 3 * time.Second
	// Calls of an outage are counted from when all have heard of it, and may be one a second
	// and a few.
	hearsay = time.Second
	slack   = 3
)

// serverAway has the token endpoint away for a while, with callers who wait for it.
func (t *torture) serverAway(ctx context.Context, c worker.Client, rand *rand.Rand) (*report.Row, error) {
	r := newRow(c, either(c, "server away, callers wait", "server away"))
	var parts []part
	for i, lasts := range t.size.outages {
		var sessions []string
		if i%2 == 1 {
			sessions = names(8)
		}
		order := rand.Perm(len(outages))
		parts = append(parts, func(ctx context.Context, r *report.Row) error {
			return t.awayFor(ctx, c, r, lasts, sessions, order)
		})
	}
	err := beside(ctx, r, parts...)
	p90, longest := r.Wait90(), time.Duration(r.Wait)*time.Millisecond
	if p90 > mostWait {
		r.TooSlow("one caller in ten waits longer than %s", p90)
	}
	if longest > longestOne {
		r.TooSlow("a caller waits %s", longest)
	}
	r.Note("The server refuses connections, resets them, or answers 502 or 503 for %v, while the API no longer takes the "+
		"access tokens, and callers call until they are served. Some have a session that %d processes share, others eight "+
		"in a pool. After the server is back %s. While it was away and answered it was called %.0f times a minute, without "+
		"the first second of each outage.", t.size.outages, t.several(c), r.WaitsText(), perMinute(r))
	return r, err
}

// perMinute is how often a server that is away is called.
func perMinute(r *report.Row) float64 {
	if r.Away == 0 {
		return 0
	}
	return float64(r.Asked) / r.Away.Minutes()
}

// names returns names of sessions, which are also the users they belong to.
func names(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("user%d", i)
	}
	return list
}

// awayFor is the part of serverAway for one length.
func (t *torture) awayFor(ctx context.Context, c worker.Client, r *report.Row, lasts time.Duration, sessions []string, order []int) error {
	s, err := t.newPoolScene(ctx, c, r, sessions)
	if err != nil {
		return err
	}
	defer s.close()
	crowd, err := s.crowd(ctx, t.several(c))
	if err != nil {
		return err
	}
	defer dismiss(crowd)
	for i := range max(1, int(t.size.away/lasts)) {
		o := outages[order[i%len(order)]]
		if err := o.down(s); err != nil {
			return err
		}
		s.expireAll()
		sendAll(crowd, callers(4))
		_ = sleep.For(ctx, min(hearsay, lasts))
		asked := s.srv.Tokens.Asked()
		_ = sleep.For(ctx, lasts-hearsay)
		asked = s.srv.Tokens.Asked() - asked
		if err := o.back(s); err != nil {
			return err
		}
		if err := s.countSince(ctx, crowd, time.Now(), o.name); err != nil {
			return err
		}
		if o.counted {
			r.Asked += asked
			r.Away += max(0, lasts-hearsay)
			if most := int(lasts/time.Second) + slack; asked > most {
				r.Broken("away for %s (%s), the server was called %d times after the first second; want at most %d", lasts, o.name, asked, most)
			}
		}
		if err := s.lossOfAny(ctx); err != nil {
			return err
		}
		r.Rounds++
	}
	return s.finish(ctx)
}

// noStall is how long a call may take where nothing is in its way.
const noStall = 500 * time.Millisecond

// inTime is how long before the death of a token the server is back, at least.
const inTime = 1200 * time.Millisecond

// serverBackInTime has the token endpoint away from a renewal on until shortly before the
// access token dies. Callers must not notice.
func (t *torture) serverBackInTime(ctx context.Context, c worker.Client, rand *rand.Rand) (*report.Row, error) {
	r := newRow(c, either(c, "server back before the expiry", "server back in time"))
	var parts []part
	for i, life := range t.size.lives {
		o := outages[(i+rand.IntN(len(outages)))%len(outages)]
		parts = append(parts, func(ctx context.Context, r *report.Row) error { return t.backInTime(ctx, c, r, life, o) })
	}
	err := beside(ctx, r, parts...)
	r.Note("Access tokens live %v. The server is away as in row %d from a renewal on, and back %s before the token dies, "+
		"while four callers call all the time. No call may take longer than %s.", t.size.lives, rowServerAway, inTime, noStall)
	return r, err
}

func (t *torture) backInTime(ctx context.Context, c worker.Client, r *report.Row, life time.Duration, o outage) error {
	s, err := t.newScene(ctx, c, r, oauthtest.Config{AccessTokenLifetime: life})
	if err != nil {
		return err
	}
	defer s.close()
	crowd, err := s.crowd(ctx, 1)
	if err != nil {
		return err
	}
	defer dismiss(crowd)
	for range t.size.inTime {
		s.srv.Expire()
		s.callAll(ctx, crowd)
		spends := s.srv.Spends()
		dies := spends[len(spends)-1].Arrived.Add(life)
		if err := o.down(s); err != nil {
			return err
		}
		const before, after = 4 * time.Second, 2 * time.Second
		_ = sleep.For(ctx, time.Until(dies.Add(-before)))
		if err := crowd[0].Say(fmt.Sprintf("%s %s", worker.CmdSteady, before+after)); err != nil {
			return err
		}
		_ = sleep.For(ctx, time.Until(dies.Add(-inTime)))
		if err := o.back(s); err != nil {
			return err
		}
		var got worker.Steady
		if err := crowd[0].ReplyWith(ctx, worker.VeryLong, &got); err != nil {
			return err
		}
		r.Served += got.Calls - got.Failed
		r.Failed += got.Failed
		r.Wait = max(r.Wait, report.Millis(got.Longest.Milliseconds()))
		if got.Failed > 0 || got.Longest > noStall {
			r.TooSlow("%s, back %s before a token of %s died: %d of %d calls failed, and one took %s", o.name, inTime, life, got.Failed, got.Calls, got.Longest)
		}
		r.Rounds++
	}
	if _, err := s.loss(ctx); err != nil {
		return err
	}
	return s.finish(ctx)
}

// refusedCommand runs a command for a token while the server is away.
func (t *torture) refusedCommand(ctx context.Context, c worker.Client, _ *rand.Rand) (*report.Row, error) {
	r := newRow(c, "server away: a command")
	var parts []part
	for _, o := range outages {
		parts = append(parts, func(ctx context.Context, r *report.Row) error { return t.commandWhileAway(ctx, c, r, o) })
	}
	err := beside(ctx, r, parts...)
	r.Note("evertoken token is run with a dead access token while the server is away as in row %d. It must end with exit "+
		"code 4, and within %s where connections are refused; the next one, with the server back, must be served.", rowServerAway, atOnce)
	return r, err
}

// commandWhileAway is the part of refusedCommand for one outage.
func (t *torture) commandWhileAway(ctx context.Context, c worker.Client, r *report.Row, o outage) error {
	s, err := t.newScene(ctx, c, r, oauthtest.Config{})
	if err != nil {
		return err
	}
	defer s.close()
	p, err := s.newProgram(ctx)
	for i := 0; err == nil && i < t.size.aways; i++ {
		err = s.runWhileAway(ctx, p, o)
		r.Rounds++
	}
	if err != nil {
		return err
	}
	return s.finish(ctx)
}

func (s *scene) runWhileAway(ctx context.Context, p program, o outage) error {
	if err := s.age(ctx, -time.Minute); err != nil {
		return err
	}
	if err := o.down(s); err != nil {
		return err
	}
	got, err := p.token(ctx)
	if err != nil {
		return err
	}
	if got.code != exitTemporary {
		s.row.Broken("%s: %s", o.name, got.exits())
	} else if !o.counted && got.took > atOnce {
		s.row.TooSlow("%s: %s", o.name, got.exits())
	}
	s.row.Wait = max(s.row.Wait, report.Millis(got.took.Milliseconds()))
	if err := o.back(s); err != nil {
		return err
	}
	return s.nextRun(ctx, p, o.name)
}
