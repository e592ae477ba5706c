package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A host is what outlives a process: a clock, and what is wrong around it.
type host struct {
	w     *world
	n     int
	clock *hostClock

	mu                                     sync.Mutex    // guards what follows
	ackLost, requestLost, answerLost, held int           // so many to come
	away, slow, full, down, late           time.Duration // until when
	storeDelay, netDelay                   time.Duration // while it is slow
	lost                                   int           // 1: the store goes away at the next answer
	lostFor                                time.Duration // for so long
	ahead                                  time.Duration // how far the clock was ahead of the time, at most
	life                                   *life         // nil: no process runs
	lives                                  int

	witness *refresh.Witness // what is known on this host of spent tokens
}

// trouble is what is wrong with a host's surroundings at a moment.
type trouble struct {
	storeAway, storeFull, netDown bool
	storeDelay, netDelay          time.Duration // zero: as usual
}

func (h *host) trouble() (t trouble) {
	now := h.w.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	t = trouble{storeAway: now < h.away, storeFull: now < h.full, netDown: now < h.down}
	if now < h.slow {
		t.storeDelay = h.storeDelay
	}
	if now < h.late {
		t.netDelay = h.netDelay
	}
	return t
}

// take uses up one of the faults that are to come.
func (h *host) take(n *int) bool {
	h.mu.Lock()
	use := *n > 0
	if use {
		*n--
	}
	h.mu.Unlock()
	if use {
		h.w.faulty(h.w.now())
	}
	return use
}

// setClock sets the wall clock.
func (h *host) setClock(by time.Duration) {
	h.clock.set(by)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ahead = max(h.ahead, h.clock.ahead())
}

// hindered returns until when the host cannot save, and until when the store is away.
func (h *host) hindered() (save, away time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.away, h.full, h.slow), h.away
}

// slowStore reports whether the store's calls take long.
func (h *host) slowStore() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.w.now() < h.slow
}

// beyond reports whether the clock, had it not been set back, would be later than a time: a
// token that was dead once stays so, and what is left of its life is left when the clock is set.
func (h *host) beyond(at time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clock.Now().Add(h.ahead - h.clock.ahead()).After(at)
}

// asleep reports whether a process takes it that the machine slept during a request, since
// the clock was so far ahead when it began: it was set forward by as much as a request may
// take, and no connection lives after such a sleep.
func (h *host) asleep(sent, ahead time.Duration) bool {
	const limit = 3 * time.Minute // refresh.Config.RefreshTimeout
	return h.w.now()-sent+h.clock.ahead()-ahead >= limit
}

// heal ends all trouble.
func (h *host) heal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ackLost, h.requestLost, h.answerLost, h.held, h.lost = 0, 0, 0, 0, 0
	h.away, h.slow, h.full, h.down, h.late = 0, 0, 0, 0, 0
}

func (h *host) current() *life {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.life
}

// A life is one run of a process, from its start to its end or death.
type life struct {
	w     *world
	host  *host
	n     int
	begun time.Duration
	dead  atomic.Bool
	died  chan struct{}
	holds map[int]*refreshToken // by session: the newest that the process has; guarded by ledger.mu
	found map[int]time.Duration // when it found an older state in the store; guarded by ledger.mu
	pool  *refresh.Pool         // nil: a manager for each session
	cfg   refresh.Config
	turns []chan struct{} // by session: held (by sending) by the goroutine that opens it

	mu       sync.Mutex        // guards what follows; never held while waiting
	calls    map[string]uint64 // so far, by what they are about, for their delays
	dieIn    int               // calls; zero: it does not
	spending bool              // only those count that change something
	managers map[int]*refresh.Manager
	opening  map[int]bool
	seen     map[string]uint64
	failed   map[string]bool       // access tokens that could not be saved at first
	failing  map[int]bool          // the last write of the session failed
	refused  map[int]time.Duration // since when a session is, in words that do not decide, since a success; the ledger guards it
	stopping bool
	timeless time.Duration // when the store's clock could not be read last
}

func (p *life) String() string { return fmt.Sprintf("p%d.%d", p.host.n, p.n) }

// begin starts a process on the host.
func (h *host) begin() *life {
	w := h.w
	h.mu.Lock()
	h.lives++
	p := &life{
		w: w, host: h, n: h.lives, begun: w.now(), died: make(chan struct{}),
		holds: make(map[int]*refreshToken), found: make(map[int]time.Duration),
		managers: make(map[int]*refresh.Manager), opening: make(map[int]bool),
		calls: make(map[string]uint64), seen: make(map[string]uint64), failed: make(map[string]bool), failing: make(map[int]bool), refused: make(map[int]time.Duration),
	}
	h.life = p
	h.mu.Unlock()
	w.started(p)
	for range w.sessions {
		p.turns = append(p.turns, make(chan struct{}, 1))
	}
	oc := w.server.OAuthConfig()
	oc.HTTPClient = &http.Client{Transport: wire{p}}
	oc.Now = h.clock.Now
	if w.plan.Policy.grace() {
		oc.Preset.Grace = graceWindow
	}
	p.cfg = refresh.Config{
		OAuthClient: oauth.NewClient(oc), Store: storeFor(p), Clock: h.clock, CheckInterval: w.plan.Check,
		OnEvent: p.hear, Witness: h.witness,
	}
	w.note("%v starts", p)
	if w.plan.Pooled {
		p.pool = refresh.NewPool(refresh.PoolConfig{Config: p.cfg})
		if err := p.pool.Start(context.Background()); err != nil {
			w.violate(0, "%v: Pool.Start: %v", p, err)
		}
	}
	return p
}

// yield is a moment between two calls: the process may die there.
func (p *life) yield(what string) error {
	p.mu.Lock()
	die := false
	if p.dieIn > 0 && !(p.spending && looks(what)) {
		p.dieIn--
		die = p.dieIn == 0
	}
	p.mu.Unlock()
	if die {
		p.crash(what)
	}
	if p.dead.Load() {
		return errDied
	}
	return nil
}

// looks reports whether a call changes nothing.
func looks(what string) bool {
	for _, verb := range []string{"reading", "having read", "looking", "asking"} {
		if strings.HasPrefix(what, verb) {
			return true
		}
	}
	return false
}

// wait lets about d pass for a call that is about the named thing: another time for each,
// so that no two calls end at once.
func (p *life) wait(ctx context.Context, about string, d time.Duration) error {
	p.mu.Lock()
	p.calls[about]++
	n := p.calls[about]
	p.mu.Unlock()
	x := mix(p.w.plan.Seed ^ uint64(p.host.n)<<56 ^ uint64(p.n)<<48 ^ n ^ hash(about))
	return p.sleep(ctx, d/2+time.Duration(x%uint64(d+1))+time.Duration(x>>40%997))
}

// sleep takes as long as given, unless the process dies or leaves.
func (p *life) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.died:
	}
	if p.dead.Load() {
		return errDied
	}
	return nil
}

// hash is of a text (FNV-1a).
func hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}

// mix is a hash of a number (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// crash ends the process at once: nothing that it does after this moment has any effect.
func (p *life) crash(where string) {
	if !p.dead.CompareAndSwap(false, true) {
		return
	}
	close(p.died)
	p.w.note("%v dies, %s", p, where)
	p.w.faulty(p.w.now())
	p.w.ended(p)
	p.host.mu.Lock()
	if p.host.life == p {
		p.host.life = nil
	}
	p.host.mu.Unlock()
	p.w.after(p.w.plan.LockLasts, func() { p.w.store.breakLocks(p) })
	p.w.busy.Go(p.stopAll)
}

// stop ends the process in order.
func (p *life) stop() {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	begun := p.w.now()
	p.stopAll()
	if p.dead.Load() {
		return
	}
	if took := p.w.now() - begun; took > 90*time.Second {
		p.w.violate(10, "%v: Stop takes %v", p, took)
	}
	p.w.note("%v has stopped", p)
	p.dead.Store(true)
	p.w.ended(p)
	p.host.mu.Lock()
	if p.host.life == p {
		p.host.life = nil
	}
	p.host.mu.Unlock()
	p.w.after(p.w.plan.LockLasts, func() { p.w.store.breakLocks(p) })
}

func (p *life) stopAll() {
	if p.pool != nil {
		p.pool.Stop()
		return
	}
	p.mu.Lock()
	var all []*refresh.Manager
	for _, m := range p.managers {
		all = append(all, m)
	}
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, m := range all {
		wg.Go(m.Stop)
	}
	wg.Wait()
}

// manager returns the session's manager, nil if it is not open.
func (p *life) manager(s *sessionState) *refresh.Manager {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.managers[s.n]
}

// open makes the process keep a session alive: the saved one, or a new login.
func (p *life) open(s *sessionState, pair *oauth.TokenPair) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p.turns[s.n] <- struct{}{}
	defer func() { <-p.turns[s.n] }()
	m := p.manager(s)
	if m != nil && pair == nil {
		return nil
	}
	var err error
	switch {
	case m != nil:
		err = m.UpdateTokens(pair)
	case p.pool != nil && pair == nil:
		m, err = p.pool.Session(ctx, s.name)
	case p.pool != nil:
		m, err = p.pool.Add(ctx, s.name, pair)
	default:
		cfg := p.cfg
		cfg.Session = s.name
		m = refresh.NewManager(cfg)
		err = m.Start(context.Background(), pair)
	}
	if m == nil || !m.IsRunning() {
		return err
	}
	p.mu.Lock()
	p.managers[s.n] = m
	stopping := p.stopping
	p.mu.Unlock()
	if stopping || p.dead.Load() {
		m.Stop()
	}
	return err
}

// openMissing opens what is not open, each in the background.
func (p *life) openMissing() {
	for _, s := range p.w.sessions {
		p.mu.Lock()
		skip := p.managers[s.n] != nil || p.opening[s.n] || p.stopping
		p.opening[s.n] = p.opening[s.n] || !skip
		p.mu.Unlock()
		if skip {
			continue
		}
		p.w.busy.Go(func() {
			err := p.open(s, nil)
			p.mu.Lock()
			p.opening[s.n] = false
			p.mu.Unlock()
			if err != nil && !p.dead.Load() {
				p.w.note("%v cannot open session %d: %v", p, s.n, err)
				p.w.checkText(p, err)
			}
		})
	}
}

// logIn makes a new login the session.
func (p *life) logIn(s *sessionState, pair *oauth.TokenPair) {
	off := time.Duration(p.host.clock.offset.Load())
	pair.IssuedAt, pair.ExpiresAt = pair.IssuedAt.Add(off), pair.ExpiresAt.Add(off) // they log in on this host
	err := p.open(s, pair)
	p.w.note("%v has the new login of session %d: %v", p, s.n, err)
	p.w.checkText(p, err)
}

// hear takes the events of the process's sessions.
func (p *life) hear(e refresh.Event) {
	s := p.w.session(e.Session)
	if s == nil || p.dead.Load() {
		return
	}
	switch e.Kind {
	case refresh.EventChecked, refresh.EventStarted, refresh.EventStopped, refresh.EventRefreshing:
		return
	case refresh.EventLoginRequired:
		p.w.loginRequired(p, s, p.held(s), e.Err)
	case refresh.EventSuspected:
		p.w.suspected(p, s, p.held(s))
	}
	p.w.note("%v session %d: %s %v", p, s.n, e.Kind, errText(e.Err))
	p.w.checkText(p, e.Err)
}

// held returns the refresh token that the process has of a session, "" if it has none.
func (p *life) held(s *sessionState) string {
	if m := p.manager(s); m != nil {
		if pair := m.GetTokens(); pair != nil {
			return pair.RefreshToken
		}
	}
	return ""
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// aboutToSave checks that no caller has seen a pair that is not saved (law 2).
func (p *life) aboutToSave(s *sessionState, rec *tokenstore.Record) {
	m := p.manager(s)
	if m == nil || p.dead.Load() {
		return
	}
	pair := m.GetTokens()
	if pair == nil || pair.AccessToken != rec.Tokens.AccessToken {
		return
	}
	p.mustBeSaved(s, pair.AccessToken)
}

// mustBeSaved checks that a token which is shown has been saved, or that saving failed.
func (p *life) mustBeSaved(s *sessionState, access string) {
	p.mu.Lock()
	failed, timeless := p.failed[access], p.timeless
	p.mu.Unlock()
	p.w.ledger.mu.Lock()
	defer p.w.ledger.mu.Unlock()
	if a := p.w.access[access]; a != nil && !a.saved && !failed && timeless < a.issued && !p.dead.Load() {
		p.w.violateLocked(2, "%v shows a token of session %d before it is saved", p, s.n)
	}
}

// triedToSave notes what became of a write.
func (p *life) triedToSave(s *sessionState, rec *tokenstore.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failing[s.n] = err != nil
	if err != nil {
		p.failed[rec.Tokens.AccessToken] = true
	}
}

// announced checks that a spend was announced, or could not be (law 2), and reports which.
// The ledger is locked.
func (p *life) announced(t *refreshToken, token string) bool {
	p.mu.Lock()
	failing := p.failing[t.session.n] || p.timeless > 0 && p.w.now()-p.timeless < 2*time.Minute
	p.mu.Unlock()
	w := p.w
	rec, err := w.store.get(t.session.name)
	if err != nil || rec.Pending.On(token) {
		return err == nil
	}
	if !failing && t.family == t.session.latest && w.now()-w.rolledBack >= 2*time.Minute {
		w.violateLocked(2, "%v spends %s, which the store does not announce", p, short(token))
	}
	return false
}

// checkText checks that an error tells no secret (law 8).
func (w *world) checkText(p *life, err error) {
	if err != nil && w.leaks(err.Error()) {
		w.violate(8, "%v: an error holds a token", p)
	}
}

// loginRequired judges that a process believes the session to have ended (laws 4 and 6).
func (l *ledger) loginRequired(p *life, s *sessionState, held string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held == "" { // it has just read the session
		if rec, err := l.saved(s.name); err == nil {
			held = rec.Tokens.RefreshToken
		}
	}
	f := s.latest
	if t := l.tokens[held]; t != nil {
		f = t.family
	}
	switch t := l.tokens[held]; {
	case errors.Is(err, refresh.ErrOldCopy) && t != nil && t.spent && t.hosts[p.host.n] && !l.heldLocked(p, t):
		l.doomLocked(f, WentBack) // the server does not know yet, and this one does
	case f != s.latest && l.rolledBack > s.latest.stored: // the newer one was undone
	case f == s.latest && f.doom == "" && l.now()-f.stored < time.Minute: // it has read what was there before
	case f == s.latest && f.doom == "" && l.forkedLocked(l.tokens[held]):
		l.doomLocked(f, Forked)
	case f == s.latest && f.doom == "":
		l.violateLocked(6, "%v takes session %d for ended, which the server has not: %v", p, s.n, err)
	case l.stepped: // which of two logins is the later one, clocks that were set do not tell
	case f != s.latest && s.latest.stored >= 0 && l.now()-s.latest.stored > time.Minute:
		l.violateLocked(4, "%v reports the end of login %d of session %d, and %d was saved at %v", p, f.n, s.n, s.latest.n, s.latest.stored)
	}
	f.told = true
}

// suspected judges that a process believes a session to have ended that the server has not
// called so: where all sessions fare alike, or nothing is known of the others, it may not
// (law 6). A process with one session has nothing to compare it with.
func (l *ledger) suspected(p *life, s *sessionState, held string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, now, check := s.latest, l.now(), p.cfg.CheckInterval
	if t := l.tokens[held]; t != nil {
		f = t.family
	}
	f.told = f.told || f.vague
	if f.doom != "" || p.pool == nil || len(p.w.sessions) == 1 || l.stepped || l.rolledBack > 0 {
		return
	}
	others := slices.DeleteFunc(slices.Clone(p.w.sessions), func(other *sessionState) bool { return other == s })
	for _, other := range others {
		if other.renewed > s.refused {
			return // since then others were well
		}
	}
	for _, other := range others {
		standsOut := slices.ContainsFunc(p.w.sessions, func(third *sessionState) bool { return third != other && third.renewed > other.refused })
		if at, refused := p.refused[other.n]; refused && !standsOut && at > other.renewed && now-at > time.Minute {
			l.violateLocked(6, "%v suspects session %d, and session %d was refused alike", p, s.n, other.n)
		}
	}
	if now-p.begun < 10*check {
		l.violateLocked(6, "%v suspects session %d, refused since %v, and cannot know how the others fare", p, s.n, s.refused)
	}
}
