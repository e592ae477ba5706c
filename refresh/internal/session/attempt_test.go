package session

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/witness"
	"github.com/evertoken/evertoken/tokenstore"
)

// A reply is what a server does with one request.
type reply struct {
	after time.Duration // it answers
	pair  string        // the nth pair,
	err   error         // or a failure
	deaf  bool          // although its context may have ended
}

// A script is a server that gives replies one after the other, the last for all that
// follow, and notes when requests came, and when they were given up.
type script struct {
	begun   time.Time
	replies []reply

	mu    sync.Mutex // guards what follows
	sent  []time.Duration
	ended []time.Duration // -1: it was answered
}

func (s *script) serve(ctx context.Context, _ *oauth.TokenPair) (*oauth.TokenPair, error) {
	s.mu.Lock()
	n := len(s.sent)
	s.sent, s.ended = append(s.sent, time.Since(s.begun)), append(s.ended, -1)
	r := s.replies[min(n, len(s.replies)-1)]
	s.mu.Unlock()
	done := ctx.Done()
	if r.deaf {
		done = nil
	}
	select {
	case <-time.After(r.after):
	case <-done:
		s.mu.Lock()
		s.ended[n] = time.Since(s.begun)
		s.mu.Unlock()
		return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Err: ctx.Err()}
	}
	if r.err != nil {
		return nil, r.err
	}
	return pair(r.pair), nil
}

// follows makes a script the server.
func (d *desk) follows(replies ...reply) *script {
	s := &script{begun: time.Now(), replies: replies}
	d.cfg.Refresh = s.serve
	return s
}

const hangs = 24 * time.Hour

// renewInTurn is renew by a caller that has the turn, as all do who are not tests.
func (d *desk) renewInTurn(t *testing.T) error {
	t.Helper()
	return d.WithTurn(t.Context(), func() error { return d.renew(t) })
}

// patientDesk is a session whose requests may take five minutes.
func patientDesk(t *testing.T, edits ...func(d *desk)) *desk {
	t.Helper()
	return newDesk(t, append(edits, func(d *desk) {
		d.cfg.RefreshTimeout = 5 * time.Minute
		d.cfg.Clock = &sure{d.cfg.Clock, 0}
	})...)
}

// While a server works on a request the answer is waited for. The token is sent again only
// where its grace is known and about to end, and of several answers the one to the latest
// request counts.
func TestAnAnswerThatTakesLongIsWaitedFor(t *testing.T) {
	const s, min = time.Second, time.Minute
	odd := answer(func(e *oauth.Error) { e.Code = "odd" })
	another := func(after time.Duration) func(t *testing.T, d *desk, r *run) {
		return func(t *testing.T, d *desk, _ *run) { time.AfterFunc(after, func() { d.store.put(t, pair("9")) }) }
	}
	for name, tt := range map[string]struct {
		grace   time.Duration
		replies []reply
		before  func(t *testing.T, d *desk, r *run)
		sent    []time.Duration
		ended   []time.Duration // -1: answered
		took    time.Duration   // the renewal
		shows   string          // in the end
		err     error
		failed  uint64 // attempts, as the gate was told
	}{
		"it answers":                       {0, []reply{{after: 3 * s, pair: "2"}}, nil, []time.Duration{0}, []time.Duration{-1}, 3 * s, "a2", nil, 0},
		"it answers after half a minute":   {0, []reply{{after: 45 * s, pair: "2"}}, nil, []time.Duration{0}, []time.Duration{-1}, 45 * s, "a2", nil, 1},
		"it answers after some minutes":    {0, []reply{{after: 4 * min, pair: "2"}}, nil, []time.Duration{0}, []time.Duration{-1}, 4 * min, "a2", nil, 1},
		"it does not answer":               {0, []reply{{after: hangs}}, nil, []time.Duration{0}, []time.Duration{5 * min}, 5 * min, "a1", oauth.ErrTransient, 1},
		"it fails after half a minute":     {0, []reply{{after: 45 * s, err: trouble}}, nil, []time.Duration{0}, []time.Duration{-1}, 45 * s, "a1", oauth.ErrTransient, 1},
		"it refuses after half a minute":   {0, []reply{{after: 45 * s, err: odd}}, nil, []time.Duration{0}, []time.Duration{-1}, 45 * s, "a1", oauth.ErrTransient, 2},
		"it fails":                         {0, []reply{{after: 3 * s, err: trouble}}, nil, []time.Duration{0}, []time.Duration{-1}, 3 * s, "a1", oauth.ErrTransient, 1},
		"a grace is about to end":          {20 * s, []reply{{after: 25 * s, pair: "2"}, {after: hangs}}, nil, []time.Duration{0, 16 * s}, []time.Duration{-1, 41 * s}, 25 * s, "a2", nil, 0},
		"the first chance is lost":         {20 * s, []reply{{after: 25 * s, pair: "2"}, {after: s, err: lost}, {after: hangs}}, nil, []time.Duration{0, 16 * s, 18 * s}, []time.Duration{-1, -1, 43 * s}, 25 * s, "a2", nil, 1},
		"both are lost":                    {20 * s, []reply{{after: 25 * s, pair: "2"}, {after: s, err: lost}, {after: s, err: lost}}, nil, []time.Duration{0, 16 * s, 18 * s}, []time.Duration{-1, -1, -1}, 25 * s, "a2", nil, 2},
		"the later answer comes later":     {20 * s, []reply{{after: 20 * s, pair: "2"}, {after: 6 * s, pair: "3"}}, nil, []time.Duration{0, 16 * s}, []time.Duration{-1, -1}, 20 * s, "a3", nil, 0},
		"the later answer is the same":     {20 * s, []reply{{after: 20 * s, pair: "2"}, {after: 6 * s, pair: "2"}}, nil, []time.Duration{0, 16 * s}, []time.Duration{-1, -1}, 20 * s, "a2", nil, 0},
		"the later answer fails":           {20 * s, []reply{{after: 20 * s, pair: "2"}, {after: 6 * s, err: ended}}, nil, []time.Duration{0, 16 * s}, []time.Duration{-1, -1}, 20 * s, "a2", nil, 0},
		"the later answer comes first":     {20 * s, []reply{{after: hangs}, {after: s, pair: "3"}}, nil, []time.Duration{0, 16 * s}, []time.Duration{17 * s, -1}, 17 * s, "a3", nil, 0},
		"the earlier comes all the same":   {20 * s, []reply{{after: 20 * s, pair: "2", deaf: true}, {after: s, pair: "3"}}, nil, []time.Duration{0, 16 * s}, []time.Duration{-1, -1}, 17 * s, "a3", nil, 0},
		"the later refuses, then it comes": {20 * s, []reply{{after: 20 * s, pair: "2"}, {after: s, err: ended}}, nil, []time.Duration{0, 16 * s}, []time.Duration{-1, -1}, 20 * s, "a2", nil, 1},
		"the later refuses, then it fails": {20 * s, []reply{{after: 20 * s, err: lost}, {after: s, err: odd}}, nil, []time.Duration{0, 16 * s, 18 * s}, []time.Duration{-1, -1, -1}, 20 * s, "a1", oauth.ErrTransient, 3},
		"a chance that is gone":            {20 * s, []reply{{after: 15900 * time.Millisecond, err: lost}, {after: 10 * s, pair: "2"}, {after: hangs}}, nil, []time.Duration{0, 16900 * time.Millisecond, 18 * s}, []time.Duration{-1, -1, 28 * s}, 26900 * time.Millisecond, "a2", nil, 1},
		"another process has renewed":      {0, []reply{{after: hangs}}, another(30 * s), []time.Duration{0}, []time.Duration{min}, min, "a9", nil, 1},
		"it has, before a grace ends":      {20 * s, []reply{{after: hangs}}, another(10 * s), []time.Duration{0}, []time.Duration{16 * s}, 16 * s, "a9", nil, 0},
		"it has, after two minutes":        {0, []reply{{after: hangs}}, another(90 * s), []time.Duration{0}, []time.Duration{2 * min}, 2 * min, "a9", nil, 1},
		"the Store is away meanwhile": {20 * s, []reply{{after: 90 * s, pair: "2"}, {after: hangs}}, func(_ *testing.T, d *desk, _ *run) {
			d.store.fails, d.store.from, d.store.until = tokenstore.ErrUnavailable, time.Now().Add(s), time.Now().Add(80*s)
		}, []time.Duration{0, 16 * s}, []time.Duration{-1, 106 * s}, 90 * s, "a2", nil, 1},
		"the lock is lost meanwhile": {20 * s, []reply{{after: 25 * s, pair: "2"}}, func(_ *testing.T, d *desk, _ *run) {
			d.store.lease = func(l tokenstore.Lease) tokenstore.Lease {
				return &limited{Lease: l, ends: time.Now().Add(s)}
			}
		}, []time.Duration{0}, []time.Duration{-1}, 25 * s, "a2", nil, 0},
		"the run ends meanwhile": {20 * s, []reply{{after: 20 * s, pair: "2"}, {after: hangs}}, func(t *testing.T, _ *desk, r *run) {
			ctx, cancel := context.WithCancel(t.Context())
			r.ctx = ctx
			time.AfterFunc(30*s, cancel)
		}, []time.Duration{0, 16 * s}, []time.Duration{-1, 30 * s}, 20 * s, "a2", nil, 0},
	} {
		inBubble(t, name, func(t *testing.T) {
			var log strings.Builder
			d, r := patientDesk(t), new(run)
			d.cfg.Grace, d.cfg.Logger = tt.grace, slog.New(slog.NewTextHandler(&log, nil))
			if tt.before != nil {
				tt.before(t, d, r)
			}
			server := d.follows(tt.replies...)
			flight, over := context.WithCancel(t.Context())
			err := d.WithTurn(t.Context(), func() error { return d.Renew(flight, r, Want{Stale: d.cur.Load(), Force: true}) })
			over()
			if took := time.Since(server.begun); took != tt.took || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("error %v after %v; want %v after %v", err, took, tt.err, tt.took)
			}
			if stats := d.cfg.Gate.Stats(d.now()); stats.Failed != tt.failed || stats.InFlight != 0 {
				t.Errorf("%d attempts have failed, %d in flight; want %d", stats.Failed, stats.InFlight, tt.failed)
			}
			// Once it is lent for the lock, and once for the pause before a replay.
			if lent := r.lent > 1; lent != (tt.took > 30*s) && name != "a chance that is gone" {
				t.Errorf("others can work meanwhile: %t", lent)
			}
			time.Sleep(10 * min)
			synctest.Wait()
			d.shows(t, tt.shows)
			if !slices.Equal(server.sent, tt.sent) || !slices.Equal(server.ended, tt.ended) {
				t.Errorf("sent after %v, given up after %v; want %v, %v", server.sent, server.ended, tt.sent, tt.ended)
			}
			if got := d.stored(t).Tokens.AccessToken; tt.err == nil && got != tt.shows {
				t.Errorf("saved %s; want %s", got, tt.shows)
			}
			if dropped := strings.Contains(log.String(), "late answer"); dropped != (name == "the earlier comes all the same") {
				t.Errorf("logged %q", log.String())
			}
			d.holding(t, 0)
		})
	}
}

// What a server is told to be that works on a request for long.
func TestAServerThatTakesLongIsToldOf(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := patientDesk(t)
		d.follows(reply{after: 45 * time.Second, pair: "2"})
		go func() { _ = d.renewInTurn(t) }()
		time.Sleep(silence - 1)
		if h := d.Health(); h.State != StateValid || d.cfg.Gate.Stats(d.now()).Failed != 0 {
			t.Errorf("state %v: %v, before its time", h.State, h.Err)
		}
		time.Sleep(2 * time.Nanosecond)
		if h := d.Health(); h.State != StateRetrying || h.Err != errUnanswered || d.cfg.Gate.Stats(d.now()).Failed != 1 {
			t.Errorf("state %v: %v; want %v", h.State, h.Err, errUnanswered)
		}
		time.Sleep(time.Minute)
		if h := d.Health(); h.State != StateValid || h.Err != nil {
			t.Errorf("state %v: %v in the end", h.State, h.Err)
		}
	})
}

// A Refresher that ignores its context is left to itself. What it brings in the end is the
// session's if that has not gone on without it.
func TestWhatALateAnswerIsGoodFor(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		late   reply
		before func(t *testing.T, d *desk) // while it is late
		shows  string
		token  string // refresh token
		state  State
		drops  bool
	}{
		"a pair":       {reply{pair: "2"}, nil, "a2", "r2", StateValid, false},
		"nothing":      {reply{err: lost}, nil, "a1", "r1", StateRetrying, false},
		"an end":       {reply{err: ended}, nil, "a1", "r1", StateRetrying, false},
		"another pair": {reply{pair: "2"}, func(t *testing.T, d *desk) { d.store.put(t, pair("9")); _ = d.Adopt(t.Context()) }, "a9", "r9", StateValid, true},
		"no session":   {reply{pair: "2"}, func(t *testing.T, d *desk) { d.store.remove(t); _ = d.Adopt(t.Context()) }, "", "", StateLoggedOut, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			var log strings.Builder
			d := newDesk(t)
			d.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			tt.late.after, tt.late.deaf = 200*s, true
			server := d.follows(tt.late, reply{err: trouble})
			begun := time.Now()
			err := d.renewInTurn(t)
			if !errors.Is(err, oauth.ErrTransient) || len(server.sent) != 2 || server.sent[1] < d.cfg.RefreshTimeout+obedience || time.Since(begun) > 40*s {
				t.Errorf("error %v after %v, sent after %v", err, time.Since(begun), server.sent)
			}
			d.holding(t, 0)
			if tt.before != nil {
				tt.before(t, d)
			}
			_ = d.WithTurn(t.Context(), func() error { time.Sleep(200 * s); return nil }) // it waits for the turn
			synctest.Wait()
			d.shows(t, tt.shows)
			got := ""
			if rec, err := d.store.Memory.Get(t.Context(), session); err == nil {
				got = rec.Tokens.RefreshToken
			}
			if h := d.Health(); got != tt.token || h.State != tt.state || strings.Contains(log.String(), "late answer") != tt.drops {
				t.Errorf("saved %q, state %v, logged %q; want %q, %v", got, h.State, log.String(), tt.token, tt.state)
			}
			if !d.TryTurn(func() {}) {
				t.Error("the turn is not given back")
			}
		})
	}
	inBubble(t, "to the next attempt", func(t *testing.T) {
		d := newDesk(t)
		server := d.follows(reply{after: 40 * s, pair: "2", deaf: true}, reply{after: hangs})
		if err := d.renewInTurn(t); err != nil || time.Since(server.begun) != 40*s {
			t.Errorf("error %v after %v", err, time.Since(server.begun))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		d.shows(t, "a2")
		// The other one may bring a later successor, for as long as a request may take.
		if len(server.ended) != 2 || server.ended[1] != server.sent[1]+d.cfg.RefreshTimeout {
			t.Errorf("sent after %v, given up after %v", server.sent, server.ended)
		}
	})
	for name, tt := range map[string]struct {
		pair string
		want string
	}{"to the next renewal": {"2", "a2"}, "nothing, to the next renewal": {"", "a3"}} {
		inBubble(t, name, func(t *testing.T) {
			d := patientDesk(t)
			d.cfg.RefreshTimeout = 30 * s
			server := d.follows(reply{after: 100 * s, pair: tt.pair, deaf: true}, reply{err: trouble}, reply{after: 70 * s, pair: "3"})
			if tt.pair == "" {
				server.replies[0].err = ended
			}
			if err := d.renewInTurn(t); err == nil {
				t.Fatal("no error")
			}
			d.cfg.RefreshTimeout = 5 * time.Minute
			time.Sleep(10 * s)
			if err := d.renewInTurn(t); err != nil {
				t.Errorf("error %v", err)
			}
			d.shows(t, tt.want)
			if took := time.Since(server.begun); tt.pair != "" && took != 100*s || tt.pair == "" && took <= 100*s {
				t.Errorf("renewed after %v", took)
			}
			time.Sleep(5 * time.Minute)
			d.shows(t, tt.want)
			d.holding(t, 0)
		})
	}
}

// A jumping clock is that of a machine that sleeps for an hour: timers do not notice.
type jumping struct {
	clock.Clock
	at time.Time
}

func (j *jumping) Now() time.Time {
	now := j.Clock.Now()
	if now.Before(j.at) {
		return now
	}
	return now.Add(time.Hour)
}

// A request that a machine has slept through is given up when it wakes up.
func TestARequestIsGivenUpAfterASleep(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := patientDesk(t)
		d.cfg.Clock = &jumping{d.cfg.Clock, time.Now().Add(10 * time.Second)}
		server := d.follows(reply{after: hangs})
		if err := d.renew(t); !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("error %v", err)
		}
		if len(server.ended) == 0 || server.ended[0] != time.Minute && server.ended[0] != silence {
			t.Errorf("given up after %v; want it at the next look", server.ended)
		}
		d.holding(t, 0)
	})
}

// An answer that had to be refused although the server has taken the token leaves its
// successor, which is saved.
func TestTheSuccessorBesideARefusalIsSaved(t *testing.T) {
	downgraded := answer(func(e *oauth.Error) { e.Status, e.Err = 200, oauth.ErrDowngraded })
	inBubble(t, "", func(t *testing.T) {
		handed := 0
		d := newDesk(t, func(d *desk) {
			d.cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { handed++; return nil }
		})
		d.cfg.Witness = witness.Open(t.TempDir())
		d.doubt.old = d.now().Add(-time.Hour)
		d.store.fails, handed = nil, 0
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			next := d.rec.Tokens.Clone()
			next.RefreshToken = "r2"
			return next, downgraded
		}
		err := d.renew(t)
		if !errors.Is(err, oauth.ErrDowngraded) || d.Health().State != StateMisconfigured || d.count(EventMisconfigured) != 1 || handed != 1 {
			t.Errorf("error %v, state %v, events %v, handed %d times", err, d.Health().State, d.events, handed)
		}
		rec := d.stored(t)
		if rec.Tokens.RefreshToken != "r2" || !rec.Descends("r1") || rec.Pending != nil || !d.knownSpent(at("r1", 0, 1)) || !d.doubt.old.IsZero() {
			t.Errorf("saved %s, %+v", rec.Tokens.RefreshToken, rec)
		}
		d.shows(t, "a1")
		if d.cur.Load().Pair.RefreshToken != "r2" {
			t.Error("readers have the token before")
		}
	})
	inBubble(t, "overtaken by a login", func(t *testing.T) {
		d := newDesk(t)
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens = pair("x") })
			next := d.rec.Tokens.Clone()
			next.RefreshToken = "r2"
			return next, downgraded
		}
		if err := d.renew(t); err != nil {
			t.Errorf("error %v", err)
		}
		d.shows(t, "ax")
		if d.Health().State != StateValid {
			t.Errorf("state %v", d.Health().State)
		}
	})
	inBubble(t, "that comes late", func(t *testing.T) {
		d := newDesk(t)
		var calls atomic.Int32
		d.cfg.Refresh = func(_ context.Context, p *oauth.TokenPair) (*oauth.TokenPair, error) {
			if calls.Add(1) > 1 {
				return nil, trouble
			}
			time.Sleep(100 * time.Second)
			next := p.Clone()
			next.RefreshToken = "r2"
			return next, downgraded
		}
		if err := d.renewInTurn(t); err == nil {
			t.Error("no error")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := d.stored(t).Tokens.RefreshToken; got != "r2" || d.Health().State != StateMisconfigured {
			t.Errorf("saved %s, state %v", got, d.Health().State)
		}
	})
}

// What the answer of a Refresher comes to.
func TestWhatARefreshersAnswerComesTo(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := newDesk(t)
		downgraded := answer(func(e *oauth.Error) { e.Err = oauth.ErrDowngraded })
		issued := time.Now().Add(-time.Minute)
		for name, tt := range map[string]struct {
			next   *oauth.TokenPair
			err    error
			access string // "": no pair
			token  string
			issued time.Time
			want   error
		}{
			"a pair":                  {&oauth.TokenPair{AccessToken: "a2", RefreshToken: "r2"}, nil, "a2", "r2", time.Now(), nil},
			"one with its issue":      {&oauth.TokenPair{AccessToken: "a2", RefreshToken: "r2", IssuedAt: issued}, nil, "a2", "r2", issued, nil},
			"an access token":         {&oauth.TokenPair{AccessToken: "a2"}, nil, "a2", "r1", time.Now(), nil},
			"the same refresh token":  {&oauth.TokenPair{AccessToken: "a2", RefreshToken: "r1"}, nil, "a2", "r1", time.Now(), nil},
			"nothing":                 {nil, nil, "", "", time.Time{}, oauth.ErrTransient},
			"no token":                {&oauth.TokenPair{}, nil, "", "", time.Time{}, oauth.ErrTransient},
			"the old refresh token":   {&oauth.TokenPair{RefreshToken: "r1"}, nil, "", "", time.Time{}, oauth.ErrTransient},
			"a refresh token":         {&oauth.TokenPair{RefreshToken: "r2"}, nil, "a1", "r2", d.rec.Tokens.IssuedAt, errUncarried},
			"an error":                {nil, trouble, "", "", time.Time{}, trouble},
			"an error beside a pair":  {&oauth.TokenPair{AccessToken: "a2", RefreshToken: "r2"}, trouble, "", "", time.Time{}, trouble},
			"downgraded":              {&oauth.TokenPair{AccessToken: "a1", RefreshToken: "r2", IssuedAt: issued}, downgraded, "a1", "r2", issued, oauth.ErrDowngraded},
			"downgraded, and no pair": {nil, downgraded, "", "", time.Time{}, oauth.ErrDowngraded},
			"downgraded, no token":    {&oauth.TokenPair{AccessToken: "a1"}, downgraded, "", "", time.Time{}, oauth.ErrDowngraded},
		} {
			x := &sending{pair: d.rec.Tokens, begun: d.now(), next: tt.next, err: tt.err}
			next, err := d.outcome(x, false)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || (next == nil) != (tt.access == "") {
				t.Errorf("%s: pair %v, error %v; want %v", name, next, err, tt.want)
				continue
			}
			if next != nil && (next.AccessToken != tt.access || next.RefreshToken != tt.token || !next.IssuedAt.Equal(tt.issued)) {
				t.Errorf("%s: %s, %s, issued %v; want %s, %s, %v", name, next.AccessToken, next.RefreshToken, next.IssuedAt, tt.access, tt.token, tt.issued)
			}
			if next == nil && tt.want == oauth.ErrTransient && !failure.Unknown(err) {
				t.Errorf("%s: %v does not leave open whether the token is spent", name, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.outcome(&sending{pair: d.rec.Tokens, ctx: ctx}, true); !errors.Is(err, errDeaf) || !errors.Is(err, context.Canceled) || !failure.Unknown(err) {
			t.Errorf("deaf: %v", err)
		}
	})
}

// Two answers may come at the same moment: the one to the later request counts.
func TestTwoAnswersAtTheSameMoment(t *testing.T) {
	for range 20 { // which of them is seen first is left to chance
		inBubble(t, "", func(t *testing.T) {
			d := patientDesk(t)
			d.cfg.Grace = 20 * time.Second
			d.follows(reply{after: 20 * time.Second, pair: "2"}, reply{after: 4 * time.Second, pair: "3"})
			if err := d.renewInTurn(t); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			d.shows(t, "a3")
		})
	}
}

// The context of a request that goes on beyond its flight ends with the request.
func TestTheContextOfALateRequestEndsWithIt(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		d := patientDesk(t)
		d.cfg.Grace = 20 * time.Second
		server := d.follows(reply{after: 20 * time.Second, pair: "2"}, reply{after: 6 * time.Second, pair: "3"})
		var contexts []context.Context
		d.cfg.Refresh = func(ctx context.Context, p *oauth.TokenPair) (*oauth.TokenPair, error) {
			server.mu.Lock()
			contexts = append(contexts, ctx)
			server.mu.Unlock()
			return server.serve(ctx, p)
		}
		if err := d.renewInTurn(t); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if contexts[0].Err() == nil || contexts[1].Err() != nil {
			t.Errorf("after the first answer: %v, %v", contexts[0].Err(), contexts[1].Err())
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if contexts[1].Err() == nil {
			t.Error("after the second answer its context goes on")
		}
	})
}

// An answer that has come by the time a request is given up is late like others; a failure
// that has is nothing to wait for.
func TestAnAnswerThatIsThereWhenItsRequestIsGivenUp(t *testing.T) {
	for _, answered := range []bool{true, false} {
		inBubble(t, "", func(t *testing.T) {
			d := newDesk(t)
			x := &sending{pair: d.rec.Tokens, begun: d.now(), done: make(chan struct{}), hangUp: func() {}}
			close(x.done)
			want := "a1"
			if answered {
				x.next, want = pair("2"), "a2"
			}
			d.giveUp(x)
			synctest.Wait()
			d.shows(t, want)
			if outlives := d.outlived == 1; outlives != answered {
				t.Errorf("it outlives the run: %t; want %t", outlives, answered)
			}
		})
	}
}

// Of the successors that some servers give, only the newest lives. While the answer to a
// later sending is under way, no process spends what the first one has brought.
func TestNoProcessSpendsASuccessorWhileANewerOneIsUnderWay(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		later  reply // to the sending after 16 s; the first is answered after 20 s
		until  time.Duration
		spends string // the next renewal
	}{
		"a newer pair":     {reply{after: 6 * s, pair: "3"}, 22 * s, "r3"},
		"the same pair":    {reply{after: 6 * s, pair: "2"}, 22 * s, "r2"},
		"a refusal":        {reply{after: 6 * s, err: ended}, 22 * s, "r2"},
		"nothing":          {reply{after: hangs}, 36 * s, "r2"},
		"nothing, unheard": {reply{after: 100 * s, err: lost, deaf: true}, 36*s + obedience, "r2"},
	} {
		for _, how := range []string{"this process", "another one", "another one, in one step", "this process, after a rest"} {
			inBubble(t, name+", "+how, func(t *testing.T) {
				d := patientDesk(t)
				if how == "another one, in one step" {
					inOneStep(d)
				}
				d.cfg.Grace = 20 * s
				server := d.follows(reply{after: 20 * s, pair: "2"}, tt.later, reply{pair: "9"})
				var sent []string
				d.cfg.Refresh = func(ctx context.Context, p *oauth.TokenPair) (*oauth.TokenPair, error) {
					server.mu.Lock()
					sent = append(sent, p.RefreshToken)
					server.mu.Unlock()
					return server.serve(ctx, p)
				}
				if err := d.renewInTurn(t); err != nil {
					t.Fatal(err)
				}
				d.shows(t, "a2")
				d.holding(t, 1)
				_ = d.WithTurn(t.Context(), func() error {
					if d.Quiet() {
						t.Error("it may rest")
					}
					return nil
				})
				switch how {
				case "another one", "another one, in one step":
					lease, err := d.store.Memory.Lock(t.Context(), session)
					if err != nil {
						t.Fatal(err)
					}
					if got := d.stored(t).Tokens.RefreshToken; got != tt.spends {
						t.Errorf("another process may spend %s; want %s", got, tt.spends)
					}
					_ = lease.Unlock()
				case "this process, after a rest":
					time.Sleep(5 * time.Minute)
					fallthrough
				default:
					if err := d.renewInTurn(t); err != nil {
						t.Error(err)
					}
					if got := d.cur.Load().Pair.AccessToken; len(sent) == 2 && got != "a3" || len(sent) > 2 && sent[2] != tt.spends {
						t.Errorf("it has %s, and sent %q; want it to spend %s", got, sent, tt.spends)
					}
				}
				if took := time.Since(server.begun); took != tt.until && how != "this process, after a rest" {
					t.Errorf("spent after %v; want %v", took, tt.until)
				}
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				d.holding(t, 0)
			})
		}
	}
}

// A process that ends, or a person who logs in, does not wait for an answer that may come.
func TestTheWaitForANewerSuccessorEnds(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, d *desk){
		"with the run":    func(t *testing.T, d *desk) { _ = d.SaveAtLast(t.Context(), nil) },
		"with a login":    func(t *testing.T, d *desk) { _, _ = d.Login(t.Context(), pair("7"), false) },
		"with the logout": func(t *testing.T, d *desk) { _ = d.Logout(t.Context()) },
		"with its time":   func(*testing.T, *desk) { time.Sleep(16 * time.Second) },
	} {
		inBubble(t, name, func(t *testing.T) {
			d := patientDesk(t)
			d.cfg.Grace = 20 * time.Second
			d.follows(reply{after: 20 * time.Second, pair: "2"}, reply{after: hangs})
			if err := d.renewInTurn(t); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			_ = d.WithTurn(t.Context(), func() error { end(t, d); return nil })
			synctest.Wait()
			d.holding(t, 0)
			if took := time.Since(begun); took > 16*time.Second {
				t.Errorf("it took %v", took)
			}
			time.Sleep(10 * time.Minute)
		})
	}
}
