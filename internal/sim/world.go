package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A Result is what a history came to.
type Result struct {
	Plan     Plan
	Broken   *Violation // nil: all laws held
	Timeline []string
	Losses   map[Loss]int
	Spends   int
	Lived    time.Duration // of all sessions together
}

// A world is a plan that is being played. It lives in one bubble.
type world struct {
	ledger
	plan   Plan
	rand   *rand.Rand // of the driver only
	begun  time.Time
	server *oauthtest.Server
	store  *shared
	hosts  []*host
	busy   sync.WaitGroup // everything that the history does beside its driver

	front              sync.Mutex // guards what follows
	down, overloaded   time.Duration
	retryAfter         time.Duration
	rests              bool // it is overloaded by its own word
	vague, clientWrong time.Duration
	oneVague           map[int]time.Duration // by session
	paused             time.Duration
	timers             []*time.Timer
	faults             []time.Duration // when single calls failed
	over               bool

	troubled time.Duration // until when something is wrong; guarded by ledger.mu
}

// Run plays a plan. It must be called in a bubble, and leaves no goroutine there.
func Run(plan Plan) Result {
	w := &world{plan: plan, rand: rand.New(rand.NewPCG(plan.Seed, 1)), begun: time.Now(), store: newShared(), oneVague: make(map[int]time.Duration)}
	w.ledger = ledger{
		policy: plan.Policy, judgeLate: plan.JudgeLate, now: w.since, excuse: w.excused, calm: w.calm, check: plan.Check, tellsTime: plan.TellsTime,
		insisted: slices.ContainsFunc(plan.Events, func(e Event) bool { return e.Kind == Crowd }), saved: w.store.get, tokens: make(map[string]*refreshToken),
		access: make(map[string]*accessToken), losses: make(map[Loss]int),
	}
	w.rolledBack = -time.Hour
	cfg := oauthtest.Config{
		AccessTokenLifetime: plan.Life, RefreshTokenLifetime: lifeOfToken, SingleSession: true,
		NoRotation: plan.Policy == NoRotation, NoReuseDetection: plan.Policy == NoDetection, ForkSuccessors: plan.Policy == GraceFork,
		Users: make(map[string]string),
	}
	cfg.Quirks.ReuseEndsOneSession = plan.Policy == StrictOne
	if plan.Policy.grace() {
		cfg.Grace = graceWindow
	}
	for i := range plan.Sessions {
		s := &sessionState{n: i, name: fmt.Sprintf("s%d", i), user: fmt.Sprintf("user%d", i)}
		cfg.Users[s.user] = "wonderland"
		w.sessions = append(w.sessions, s)
	}
	w.server = oauthtest.New(cfg)
	for i := range plan.Procs {
		w.hosts = append(w.hosts, &host{w: w, n: i, clock: newHostClock(mix(plan.Seed+uint64(i)), plan.Skew[i]), ahead: plan.Skew[i], witness: new(refresh.Witness)})
	}
	w.play()
	w.end()
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	r := Result{Plan: plan, Timeline: w.lines, Losses: w.losses, Spends: w.spends, Lived: w.since() * time.Duration(plan.Sessions)}
	if len(w.broken) > 0 {
		r.Broken = &w.broken[0]
	}
	return r
}

func (w *world) since() time.Duration { return time.Since(w.begun) }

func (w *world) session(name string) *sessionState {
	for _, s := range w.sessions {
		if s.name == name {
			return s
		}
	}
	return nil
}

// play lets the events happen, and looks at everything after each, and in between.
func (w *world) play() {
	first := w.hosts[0].begin()
	for _, s := range w.sessions {
		pair, err := w.newLogin(s)
		if err != nil {
			w.violate(0, "login: %v", err)
			return
		}
		first.logIn(s, pair)
	}
	for _, h := range w.hosts[1:] {
		h.begin()
	}
	for _, e := range w.plan.Events {
		if !w.until(e.At) {
			return
		}
		w.note("--- %v", e)
		w.apply(e)
		w.look()
	}
	if !w.until(w.plan.Length) {
		return
	}
	w.note("--- all trouble ends")
	for _, h := range w.hosts {
		h.heal()
	}
	w.front.Lock()
	quiet := w.now()
	last := max(w.vague, w.clientWrong)
	for _, until := range w.oneVague {
		last = max(last, until)
	}
	if refused := min(last, quiet); refused > 0 {
		quiet = max(quiet, refused+callersWait)
	}
	w.endTroubleLocked()
	w.front.Unlock()
	w.ledger.mu.Lock()
	w.troubled = min(w.troubled, quiet)
	w.ledger.mu.Unlock()
	w.until(quiet + 2*w.settles() + w.plan.Life)
}

// callersWait is how long callers wait at most for the next attempt of a session that was
// refused for long: a quarter of an hour, and the jitter.
const callersWait = 16 * time.Minute

// settles is how long after the end of all trouble every session is to be served again.
func (w *world) settles() time.Duration { return 5*time.Minute + 2*w.plan.Check }

// until lets time pass, looking now and then, and reports false if a law was broken.
func (w *world) until(at time.Duration) bool {
	for {
		w.look()
		if w.failed() {
			return false
		}
		left := at - w.now()
		if left <= 0 {
			return true
		}
		time.Sleep(min(left, w.plan.Life/4+time.Duration(w.rand.Int64N(int64(w.plan.Life/4)))))
	}
}

// after runs f in d, unless the history is over by then.
func (w *world) after(d time.Duration, f func()) {
	w.front.Lock()
	defer w.front.Unlock()
	if w.over {
		return
	}
	w.busy.Add(1)
	w.timers = append(w.timers, time.AfterFunc(d, func() {
		defer w.busy.Done()
		f()
	}))
}

// endTroubleLocked has the server work as it should.
func (w *world) endTroubleLocked() {
	w.down, w.overloaded, w.paused, w.vague, w.clientWrong = 0, 0, 0, 0, 0
	clear(w.oneVague)
}

// end stops everything.
func (w *world) end() {
	for _, h := range w.hosts {
		h.heal()
	}
	w.front.Lock()
	w.over = true
	w.endTroubleLocked()
	for _, t := range w.timers {
		if t.Stop() {
			w.busy.Done()
		}
	}
	w.front.Unlock()
	for _, h := range w.hosts {
		if p := h.current(); p != nil {
			w.busy.Go(p.stop)
		}
	}
	w.busy.Wait()
}

func (w *world) newLogin(s *sessionState) (*oauth.TokenPair, error) {
	pair, err := w.server.Login(s.user)
	if err != nil {
		return nil, err
	}
	f := w.login(s, pair)
	w.note("the person logs in: session %d, login %d, %s", s.n, f.n, short(pair.RefreshToken))
	return pair, nil
}

// refuses returns the answer to everything, or to all refreshes of a session, if there is one.
func (w *world) refuses(token string) (a refusal, refused bool) {
	now, s, dead := w.now(), w.sessionOf(token), w.endedVaguely(token)
	w.front.Lock()
	defer w.front.Unlock()
	switch {
	case now < w.down:
		return refusal{status: 503, text: "try again later\n"}, true
	case now < w.overloaded && w.rests:
		return refusal{status: 503, text: "try again later\n", after: w.retryAfter}, true
	case now < w.overloaded:
		return refusal{status: 429, text: "try again later\n", after: w.retryAfter}, true
	case now < w.vague:
		return refusal{status: 404, text: "page not found\n"}, true
	case dead, s != nil && now < w.oneVague[s.n]:
		return refusal{status: 403, text: "forbidden\n"}, true
	case now < w.clientWrong:
		return refusal{status: 401, json: true, text: `{"error":"invalid_client"}`}, true
	}
	return refusal{}, false
}

func (w *world) pausedFor() time.Duration {
	w.front.Lock()
	defer w.front.Unlock()
	return w.paused - w.now()
}

// faulty notes that a single call has failed.
func (w *world) faulty(at time.Duration) {
	w.trouble(at)
	w.front.Lock()
	defer w.front.Unlock()
	w.faults = append(w.faults, at)
}

// excused reports whether more was wrong between two moments, or shortly before, than that
// one answer was lost: it may have kept a process from sending again.
func (w *world) excused(from, to time.Duration) bool {
	w.front.Lock()
	n, before := 0, 0
	for _, at := range w.faults {
		switch {
		case from <= at && at < to:
			n++
		case from-graceWindow <= at && at < from:
			before++
		}
	}
	w.front.Unlock()
	if n > 1 || n+before > 2 { // one of them is the answer that was lost, one a connection that is held
		return true
	}
	for _, e := range w.plan.Events {
		if e.At < to && e.At+max(e.For, 5*time.Minute) > from && !(e.Kind == AnswerLost && e.N == 1) && e.Kind != Crowd {
			return true
		}
	}
	return false
}

// calm reports whether nothing happened between two moments but that stores went back.
func (w *world) calm(from, to time.Duration) bool {
	return w.troubled <= from && !slices.ContainsFunc(w.plan.Events, func(e Event) bool {
		return e.Kind != Rollback && e.Kind != Reset && e.Kind != Crowd && e.At < to && e.At+max(e.For, 5*time.Minute) > from
	})
}

// apply makes an event happen.
func (w *world) apply(e Event) {
	h, s, until := w.hosts[e.Proc%len(w.hosts)], w.sessions[e.Session%len(w.sessions)], w.now()+e.For
	p := h.current()
	hosts := []*host{h}
	if e.Kind == StoreGone {
		hosts = w.hosts
	}
	w.trouble(until)
	switch e.Kind {
	case Crash:
		if p == nil {
			return
		}
		if e.N == 0 {
			p.crash("at " + e.At.String())
		} else {
			p.mu.Lock()
			p.dieIn, p.spending = e.N, e.For%4 != 0
			p.mu.Unlock()
		}
	case Restart:
		if p == nil {
			return
		}
		w.busy.Go(p.stop)
	case StoreAway, StoreGone:
		for _, h := range hosts {
			h.lose(until)
		}
	case StoreLost:
		w.trouble(until + w.plan.Life)
		h.mu.Lock()
		h.lost, h.lostFor = 1, e.For
		h.mu.Unlock()
	case ServerDown:
		w.front.Lock()
		w.down = until
		w.front.Unlock()
	case ServerBusy, ServerRests:
		w.trouble(until + time.Duration(e.N)*time.Second)
		w.front.Lock()
		w.overloaded, w.retryAfter, w.rests = until, time.Duration(e.N)*time.Second, e.Kind == ServerRests
		w.front.Unlock()
	case ServerVague, OneVague, ClientWrong:
		w.trouble(until + callersWait)
		w.front.Lock()
		switch e.Kind {
		case ServerVague:
			w.vague = until
		case OneVague:
			w.oneVague[s.n] = until
		case ClientWrong:
			w.clientWrong = until
		}
		w.front.Unlock()
	case ServerPause:
		w.front.Lock()
		w.paused = until
		w.front.Unlock()
	case Rollback, Reset:
		name := s.name
		if e.Kind == Reset {
			name = ""
		}
		w.ledger.mu.Lock()
		w.rolledBack = w.now()
		w.ledger.mu.Unlock()
		w.note("%d writes undone", w.store.back(name, e.N))
		for _, s := range w.sessions {
			if rec, err := w.store.get(s.name); err == nil {
				w.undo(rec)
			}
		}
	case ClockStep:
		w.ledger.mu.Lock()
		w.stepped = true
		w.ledger.mu.Unlock()
		h.setClock(time.Duration(e.N) * time.Second)
	case Login:
		if p != nil {
			w.relogin(p, s)
		}
	case Logout:
		if p == nil || p.manager(s) == nil {
			return
		}
		w.logout(p, s)
	case ServerEnds, VagueEnd:
		if e.Kind == VagueEnd {
			w.endVaguely(s.latest)
		}
		w.doom(s.latest, ByServer)
		w.server.RevokeAll(s.user)
	case Crowd:
		if p != nil {
			w.crowd(p, s, e.N)
		}
	default:
		h.mu.Lock()
		defer h.mu.Unlock()
		switch e.Kind {
		case StoreSlow:
			h.slow, h.storeDelay = until, time.Duration(e.N)*time.Millisecond
		case StoreFull:
			h.full = until
		case AckLost:
			h.ackLost = e.N
		case NetDown:
			h.down = until
		case RequestLost:
			h.requestLost = e.N
		case AnswerLost:
			h.answerLost = e.N
		case NetSlow:
			h.late, h.netDelay = until, time.Duration(e.N)*time.Millisecond
		case Held:
			h.held = e.N
		}
	}
}

// lose puts the store out of the host's reach.
func (h *host) lose(until time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away = max(h.away, until)
}

// losesStore makes the store go away now that a process has its answer, if that was
// planned: for all, and for longer than locks last.
func (w *world) losesStore(p *life) {
	if !p.host.take(&p.host.lost) {
		return
	}
	p.host.mu.Lock()
	until := w.now() + p.host.lostFor
	p.host.mu.Unlock()
	w.note("the store goes away until %v", until)
	w.trouble(until)
	for _, h := range w.hosts {
		h.lose(until)
	}
	w.after(15*time.Second, func() {
		for _, h := range w.hosts {
			if p := h.current(); p != nil {
				w.store.breakLocks(p)
			}
		}
	})
}

// relogin is the person who logs in again.
func (w *world) relogin(p *life, s *sessionState) {
	done, free := w.act(s)
	if !free {
		return
	}
	pair, err := w.newLogin(s)
	if err != nil {
		done()
		w.violate(0, "login: %v", err)
		return
	}
	w.busy.Go(func() {
		defer done()
		p.logIn(s, pair)
	})
}

// act begins something that the person does, unless something else is under way.
func (w *world) act(s *sessionState) (done func(), free bool) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if s.acts > 0 {
		return nil, false
	}
	s.acts++
	return func() {
		w.ledger.mu.Lock()
		defer w.ledger.mu.Unlock()
		s.acts--
	}, true
}

func (w *world) logout(p *life, s *sessionState) {
	done, free := w.act(s)
	if !free {
		return
	}
	w.leaves(s.latest)
	w.busy.Go(func() {
		defer done()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := p.manager(s).Logout(ctx)
		w.note("%v has logged out session %d: %v", p, s.n, err)
		w.checkText(p, err)
	})
}

// crowd is many callers at once: some leave soon, some insist on a new token.
func (w *world) crowd(p *life, s *sessionState, n int) {
	m := p.manager(s)
	if m == nil {
		return
	}
	for i := range n {
		w.busy.Go(func() {
			switch i % 4 {
			case 0:
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond)
				defer cancel()
				_, _ = m.TokenContext(ctx)
			case 1:
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				w.checkText(p, m.ForceRefresh(ctx))
			default:
				w.call(p, s)
			}
		})
	}
}

// look restarts what has died, checks the laws of each session in each process, and
// lets people whose session has ended log in again.
func (w *world) look() {
	synctest.Wait()
	for _, h := range w.hosts {
		p := h.current()
		if p == nil {
			if h.due(w) {
				p = h.begin()
			} else {
				continue
			}
		}
		if p.dead.Load() {
			continue
		}
		p.openMissing()
		for _, s := range w.sessions {
			w.busy.Go(func() { w.call(p, s) })
		}
	}
	for _, s := range w.sessions {
		w.ledger.mu.Lock()
		f := s.latest
		lost := f.doom != "" && (f.told || !f.vague && w.now()-f.after > 2*w.plan.Life) && w.now()-f.after > time.Minute
		w.tellsInTimeLocked(s)
		w.ledger.mu.Unlock()
		if w.server.Sessions(s.user) == 0 && f.doom == "" {
			w.violate(1, "session %d has ended at the server, for no reason that is known", s.n)
		}
		if p := w.hosts[w.rand.IntN(len(w.hosts))].current(); lost && p != nil && !p.dead.Load() {
			w.relogin(p, s)
			w.trouble(w.now())
		}
	}
	synctest.Wait() // nothing changes between what a caller is shown and its call
}

// tellsInTimeLocked judges that a session which the server has ended without a word is told
// of in time, if the others fare better and nothing else is wrong (law 6).
func (w *world) tellsInTimeLocked(s *sessionState) {
	f, limit := s.latest, w.plan.Life+20*w.plan.Check+2*time.Hour
	since := max(f.after, w.troubled)
	if !f.vague || f.told || w.now()-since < limit || w.stepped || w.rolledBack > 0 {
		return
	}
	for _, other := range w.sessions {
		if other != s && other.latest.doom != "" {
			return
		}
	}
	for _, h := range w.hosts {
		if p := h.current(); p != nil && !p.dead.Load() && !p.quits() && p.begun < since {
			w.violateLocked(6, "%v has told no person in %v that session %d has ended", p, (w.now() - since).Round(time.Second), s.n)
			return
		}
	}
}

// due reports whether a process may start again on a host that has none: some time
// after the last one has ended.
func (h *host) due(w *world) bool { return w.rand.IntN(2) == 0 }

// call is a caller who needs a token (law 7).
func (w *world) call(p *life, s *sessionState) {
	m := p.manager(s)
	if m == nil || p.dead.Load() || p.quits() {
		return
	}
	quiet := w.now()-w.quietFrom() > w.settles()
	w.ledger.mu.Lock()
	f := s.latest
	w.ledger.mu.Unlock()
	held, begun := m.GetTokens(), w.now()
	alive := held != nil && held.ExpiresAt.Sub(p.host.clock.Now()) > time.Second &&
		!p.host.beyond(held.ExpiresAt) && w.lives(held)
	ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
	defer cancel()
	pair, err := m.TokenContext(ctx)
	took := w.now() - begun
	if p.dead.Load() || p.quits() {
		return
	}
	w.checkText(p, err)
	if err == nil {
		p.mustBeSaved(s, pair.AccessToken)
	}
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	known := s.latest == f && f.doom == ""
	quiet = quiet && begun-w.troubled > w.settles() // still
	switch {
	case alive && (err != nil || took > 0):
		w.violateLocked(7, "%v holds a living token of session %d (until %v, %v by the host's clock) and does not serve it: %v after %v",
			p, s.n, w.access[held.AccessToken].dies, held.ExpiresAt.Sub(w.begun), err, took)
	case err != nil && quiet && known && w.stepped && !w.plan.TellsTime: // which of two logins is the later one, clocks that were set do not tell
	case err != nil && quiet && known && w.undoneLocked(s):
		w.doomLocked(f, WentBack)
	case err != nil && quiet && known && w.now()-p.begun < w.settles(): // it may have found the mark of a process that has died
	case err != nil && quiet && known && f.stored >= 0 && w.now()-f.stored > w.settles():
		w.violateLocked(7, "%v has no token of session %d although nothing is wrong: %v (%v)", p, s.n, err, errors.Is(err, oauth.ErrLoginRequired))
	case err == nil && quiet && known && !w.stepped && w.access[pair.AccessToken] != nil &&
		w.access[pair.AccessToken].dies+2*time.Second < w.now() && w.now()-f.stored > w.settles():
		w.violateLocked(9, "%v serves a token of session %d that died at %v", p, s.n, w.access[pair.AccessToken].dies)
	}
}

// trouble notes until when something is wrong.
func (w *world) trouble(until time.Duration) {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	w.troubled = max(w.troubled, until)
}

func (w *world) quietFrom() time.Duration {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	return w.troubled
}

// lives reports whether the server takes an access token for another second.
func (w *world) lives(pair *oauth.TokenPair) bool {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	a := w.access[pair.AccessToken]
	return a != nil && a.family.doom == "" && w.now()+time.Second < a.dies
}

func (p *life) quits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping
}
