package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Violation is a law that was broken.
type Violation struct {
	Law  int
	What string
}

func (v Violation) String() string { return fmt.Sprintf("law %d: %s", v.Law, v.What) }

// A Loss is why a session ended that no client could have kept.
type Loss string

const (
	LostAnswer Loss = "the answer was lost, at a server without grace"
	LateAnswer Loss = "the answer was lost, and the grace was over before the server could be asked again"
	DiedUnsave Loss = "the process ended between the answer and the save"
	Forked     Loss = "the answer with the newest of forked successors was lost"
	LateAgain  Loss = "it was sent again while the answer was under way, and arrived when the grace was over"
	CutOff     Loss = "the process with the successor could not save it in the time that others give it"
	WentBack   Loss = "the store went back, and the host had not heard of the renewal that was undone"
	ByServer   Loss = "the server ended the session by its own will"
	ByPerson   Loss = "the person logged out"
)

// A ledger knows what was issued, spent, delivered and saved, and who can know of it.
type ledger struct {
	policy    Policy
	judgeLate bool                 // Plan.JudgeLate
	now       func() time.Duration // since the history began
	excuse    func(from, to time.Duration) bool
	calm      func(from, to time.Duration) bool             // nothing but the store's going back happened in between
	check     time.Duration                                 // Plan.Check
	tellsTime bool                                          // Plan.TellsTime
	insisted  bool                                          // callers force renewals
	saved     func(name string) (*tokenstore.Record, error) // what the store holds

	mu       sync.Mutex // guards what follows; never held while waiting
	tokens   map[string]*refreshToken
	access   map[string]*accessToken
	sessions []*sessionState
	lines    []string
	broken   []Violation
	losses   map[Loss]int
	stepped  bool // a clock was set

	rolledBack time.Duration // when the store went back last
	spends     int
	lives      []*life
}

// A refreshToken is what became of one.
type refreshToken struct {
	text    string
	parent  *refreshToken // the one that it was given for
	session *sessionState
	family  *family
	spent   bool
	at      time.Duration // when it was spent first
	lostAt  time.Duration
	lost    Loss          // why no process knows what came back; empty: one does, or nothing came
	holder  *life         // the process that was given its successor
	saved   bool          // the successor has been in the store
	savedAt time.Duration // since when
	newest  *request      // of those that the server gave a successor
	gone    *request      // whose answer was lost, last
	next    string        // and that successor
	silent  bool          // its spend could not be announced
	undone  time.Duration // when the store went back to before that, last; zero: it has not
	hosts   map[int]bool  // which know that it is spent
	open    map[*request]bool
}

// A request is a refresh token on its way to the server.
type request struct {
	life *life
	sent time.Duration

	exchanged bool // the server has given a successor
}

type accessToken struct {
	family *family
	issued time.Duration
	dies   time.Duration
	saved  bool // it has been in the store
}

// A family is what descends from one login.
type family struct {
	n      int
	stored time.Duration // when its first pair was in the store; negative: not yet
	doom   Loss          // why it is lost, if it is
	after  time.Duration // when that was
	told   bool          // a person has heard of it
	vague  bool          // the server ends it, and says so in words that do not decide
}

type sessionState struct {
	n        int
	name     string
	user     string
	latest   *family
	families int
	acts     int // logins and logouts under way: a person does one thing at a time

	renewed time.Duration // when the server has given a pair last
	refused time.Duration // since when it was refused in words that do not decide, as the others were
}

func (l *ledger) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteLocked(format, args...)
}

func (l *ledger) noteLocked(format string, args ...any) {
	if len(l.broken) > 0 {
		return // what follows does not matter
	}
	if len(l.lines) > 4000 {
		l.lines = append(l.lines[:0], l.lines[2000:]...)
	}
	l.lines = append(l.lines, fmt.Sprintf("%13.3fs  ", l.now().Seconds())+fmt.Sprintf(format, args...))
}

func (l *ledger) violate(law int, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.violateLocked(law, format, args...)
}

func (l *ledger) violateLocked(law int, format string, args ...any) {
	v := Violation{law, fmt.Sprintf(format, args...)}
	l.noteLocked("*** %v", v)
	l.broken = append(l.broken, v)
}

func (l *ledger) failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.broken) > 0
}

// short names a token in timelines.
func short(token string) string {
	if token == "" {
		return "none"
	}
	return tokenstore.Fingerprint(token)[:6]
}

// login notes a pair that the server has given for a login.
func (l *ledger) login(s *sessionState, pair *oauth.TokenPair) *family {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.families++
	s.latest = &family{n: s.families, stored: -1}
	s.renewed = l.now()
	l.issueLocked(nil, s, s.latest, pair.RefreshToken, pair.AccessToken, time.Duration(pair.ExpiresIn)*time.Second)
	return s.latest
}

func (l *ledger) issueLocked(parent *refreshToken, s *sessionState, f *family, refresh, access string, lives time.Duration) {
	if l.tokens[refresh] == nil {
		l.tokens[refresh] = &refreshToken{text: refresh, parent: parent, session: s, family: f, hosts: make(map[int]bool), open: make(map[*request]bool)}
	}
	l.access[access] = &accessToken{family: f, issued: l.now(), dies: l.now() + lives}
}

// tells reports whether the store announces that a refresh token is spent.
func (l *ledger) tells(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[token]
	if t == nil {
		return false
	}
	rec, err := l.saved(t.session.name)
	return err == nil && rec.Pending.On(token)
}

// arrive notes that a refresh token has reached the server that was sent at a time, when the
// store told of it or did not.
func (l *ledger) arrive(p *life, token string, sent time.Duration, told bool) *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[token]
	if t == nil {
		return nil
	}
	l.spends++
	l.noteLocked("%v spends %s (session %d, login %d)", p, short(token), t.session.n, t.family.n)
	for other := range t.open {
		if other.life != p && !other.life.dead.Load() && !(t.spent && l.excusedByRollbackLocked(p, t)) {
			l.violateLocked(1, "%v spends %s while %v does", p, short(token), other.life)
		}
	}
	r := &request{life: p, sent: l.now()}
	t.open[r] = true
	if t.spent && l.policy.rotates() && t.family == t.session.latest {
		switch {
		case t.lost != "" && l.policy.grace() && l.now()-t.at > graceWindow:
			l.doomLocked(t.family, LateAnswer)
			if t.lost == LostAnswer && l.judgeLate && !l.excuse(t.at, t.at+graceWindow) {
				l.violateLocked(5, "%v: the answer to %s was lost at %v, and it was sent again only after the grace, with nothing in the way", p, short(token), t.lostAt)
			}
		case t.lost != "":
		case t.family.doom == WentBack: // asked a second time
		case t.family.doom == ByPerson || t.family.doom == ByServer: // put back with the store
		case t.saved && sent < t.savedAt && l.policy.grace() && (l.now()-t.at > graceWindow || l.usedLocked(t)):
			l.doomLocked(t.family, LateAgain)
		case l.policy.grace() && l.now()-t.at <= graceWindow && (!t.saved || sent < t.savedAt): // the server takes it again
		case l.excusedByRollbackLocked(p, t):
			l.doomLocked(t.family, WentBack)
		case t.saved:
			l.violateLocked(1, "reuse: %v spends %s, whose successor was saved (its host knows: %v)", p, short(token), t.hosts[p.host.n])
			l.doomLocked(t.family, LostAnswer) // told already
		case p == t.holder && l.policy.grace(): // whose first answer came meanwhile
			l.doomLocked(t.family, LateAgain)
		case l.cutOffLocked(p, t):
			l.doomLocked(t.family, CutOff)
		default:
			l.violateLocked(1, "reuse: %v spends %s, whose successor %v has and could not save yet", p, short(token), t.holder)
			l.doomLocked(t.family, LostAnswer)
		}
	}
	t.silent = !told && !p.announced(t, token)
	return r
}

// usedLocked reports whether a successor of a token is spent.
func (l *ledger) usedLocked(t *refreshToken) bool {
	for _, next := range l.tokens {
		if next.parent == t && next != t && next.spent {
			return true
		}
	}
	return false
}

// read notes that a process has read a record.
func (l *ledger) read(p *life, s *sessionState, rec *tokenstore.Record) {
	if p.host.slowStore() {
		return // a call that goes with this one may have taken too long
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[rec.Tokens.RefreshToken]
	switch mine := p.holds[s.n]; {
	case t == nil:
	case mine.descends(t):
		if p.found[s.n] == 0 {
			p.found[s.n] = l.now()
		}
	default:
		l.knowsLocked(p, t)
	}
}

// descends reports whether t was given for other, directly or not.
func (t *refreshToken) descends(other *refreshToken) bool {
	for ; t != nil; t = t.parent {
		if t.parent == other && t != other {
			return true
		}
	}
	return false
}

// knows notes that a process has saved or read a record: its host knows from then on that
// the refresh token before it is spent, and those after what the process had before.
func (l *ledger) knows(p *life, rec *tokenstore.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tokens[rec.Tokens.RefreshToken]; t != nil {
		l.knowsLocked(p, t)
	}
}

func (l *ledger) knowsLocked(p *life, t *refreshToken) {
	before := p.holds[t.session.n]
	if before != t {
		delete(p.found, t.session.n)
	}
	p.holds[t.session.n] = t
	for old := t.parent; old != nil; old = old.parent {
		old.hosts[p.host.n] = true
		if old == before || before == nil || !t.descends(before) {
			return
		}
	}
}

// undo notes that the store holds an older state of a session now.
func (l *ledger) undo(rec *tokenstore.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tokens[rec.Tokens.RefreshToken]; t != nil && t.spent {
		t.undone = l.now()
	}
}

// cutOffLocked reports whether nothing told a process that another has a spent token's
// successor and could still save it. The spend could not be announced; or when it was, a
// clock says that was set, where the store has none; or the holder has been hindered from
// saving for longer than the store was away for p, and has not had the time since.
func (l *ledger) cutOffLocked(p *life, t *refreshToken) bool {
	apart := p.host.clock.ahead() - t.holder.host.clock.ahead()
	if t.silent || !l.tellsTime && apart.Abs() > 2*time.Second {
		return true
	}
	until, _ := t.holder.host.hindered()
	_, away := p.host.hindered()
	return until > away && l.now()-until < l.check+30*time.Second
}

// excusedByRollbackLocked reports whether a process could not know that a token is spent
// whose successor was in the store: the store went back, its host has not heard of the
// successor, and none that has had the time to save it again.
func (l *ledger) excusedByRollbackLocked(p *life, t *refreshToken) bool {
	undone := t.undone > 0 || l.rolledBack > t.at-time.Minute // the latter may have undone what announced the spend
	return undone && !t.hosts[p.host.n] && !l.heldLocked(p, t)
}

// heldLocked reports whether another process than p holds what a spent token was replaced
// by, and has had the time to save it again, or p knows that one may.
func (l *ledger) heldLocked(p *life, t *refreshToken) bool {
	for _, q := range l.lives {
		if q == p || q.dead.Load() || !q.holds[t.session.n].descends(t) {
			continue
		}
		if at := p.found[t.session.n]; at > 0 && l.now()-at < l.check && !l.insisted {
			return true
		}
		if l.now()-t.undone > l.check+30*time.Second && l.calm(t.undone, l.now()) {
			return true
		}
	}
	return false
}

// undoneLocked reports whether the store went back to before the latest login of a
// session, and no process holds any pair of that.
func (l *ledger) undoneLocked(s *sessionState) bool {
	if l.rolledBack < s.latest.stored {
		return false
	}
	if rec, err := l.saved(s.name); err == nil {
		if t := l.tokens[rec.Tokens.RefreshToken]; t == nil || t.family == s.latest {
			return false
		}
	}
	return !slices.ContainsFunc(l.lives, func(q *life) bool {
		t := q.holds[s.n]
		return !q.dead.Load() && t != nil && t.family == s.latest
	})
}

// exchanged notes that the server has given a successor.
func (l *ledger) exchanged(r *request, token, refresh, access string, lives time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[token]
	if t == nil || r == nil {
		return
	}
	r.exchanged, t.newest, t.next = true, r, cmp.Or(refresh, token)
	if !t.spent {
		t.spent, t.at = true, l.now()
	}
	if refresh == "" {
		refresh = token
	}
	l.issueLocked(t, t.session, t.family, refresh, access, lives)
	t.session.renewed = l.now()
	clear(r.life.refused)
}

// sessionOf returns the session of a refresh token, or nil.
func (l *ledger) sessionOf(token string) *sessionState {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tokens[token]; t != nil {
		return t.session
	}
	return nil
}

// leaves notes that the person logs out.
func (l *ledger) leaves(f *family) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doomLocked(f, ByPerson)
	f.told = true
}

// endVaguely notes that the server ends a login, unless it is lost already, and does not say
// so.
func (l *ledger) endVaguely(f *family) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.vague = f.doom == ""
	l.doomLocked(f, ByServer)
}

// endedVaguely reports whether a refresh token is of such a login.
func (l *ledger) endedVaguely(token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[token]
	return t != nil && t.family.vague
}

// refused notes that a refresh token was refused in words that do not decide.
func (l *ledger) refused(p *life, token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[token]
	if t == nil {
		return
	}
	s := t.session
	if s.refused <= s.renewed {
		s.refused = l.now()
	}
	if _, known := p.refused[s.n]; !known {
		p.refused[s.n] = l.now()
	}
}

// idle reports whether a process has no use for another answer to a refresh token: it has
// one, or what another process got for it, or the person has logged in again.
func (l *ledger) idle(p *life, token string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[token]
	return t == nil || t.holder == p || p.holds[t.session.n].descends(t) || t.family != t.session.latest
}

// forkedLocked reports whether a refresh token has a sibling that is newer, and that died with
// the process which had it.
func (l *ledger) forkedLocked(t *refreshToken) bool {
	if t == nil || t.parent == nil || l.policy != GraceFork {
		return false
	}
	newest := t.parent.newest
	return newest != nil && t.parent.next != t.text && newest.life.dead.Load()
}

// answered notes that p has, or will never have, the answer to a request.
func (l *ledger) answered(r *request, token string, delivered bool) {
	if r == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[token]
	delete(t.open, r)
	switch {
	case !t.spent || !r.exchanged:
	case delivered && !r.life.dead.Load():
		t.holder, t.lost = r.life, ""
		if t.gone != nil && t.gone == t.newest && l.policy == GraceFork {
			l.doomLocked(t.family, Forked)
		}
		for _, next := range l.tokens {
			if next.parent == t && next != t {
				r.life.holds[t.session.n] = next
			}
		}
	case t.holder == nil || t.holder.dead.Load() && !t.saved:
		t.lost, t.lostAt, t.gone = LostAnswer, l.now(), r
		if r.life.dead.Load() {
			t.lost = DiedUnsave
		}
		if l.policy.rotates() && !l.policy.grace() {
			l.doomLocked(t.family, t.lost)
		}
		l.noteLocked("the answer to %s is lost on its way to %v", short(token), r.life)
	case r == t.newest && l.policy == GraceFork:
		l.doomLocked(t.family, Forked)
	}
}

// started notes that a process has started.
func (l *ledger) started(p *life) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lives = append(slices.DeleteFunc(l.lives, func(q *life) bool { return q.dead.Load() }), p)
}

// ended notes that a process has ended, and with it what it had not saved.
func (l *ledger) ended(p *life) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tokens {
		if t.holder != p || t.saved || !t.spent || !l.policy.rotates() || t.lost != "" {
			continue
		}
		t.lost, t.lostAt = DiedUnsave, l.now()
		if !l.policy.grace() {
			l.doomLocked(t.family, DiedUnsave)
		}
	}
}

// stored notes that the store holds a record.
func (l *ledger) stored(p *life, s *sessionState, rec *tokenstore.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.access[rec.Tokens.AccessToken]; a != nil {
		a.saved = true
		if a.family.stored < 0 {
			a.family.stored = l.now()
		}
	}
	for t := l.tokens[rec.Tokens.RefreshToken]; t != nil && t.parent != nil && !t.parent.saved; t = t.parent {
		t.parent.saved, t.parent.savedAt = true, l.now()
	}
	l.noteLocked("%v writes session %d: %s v%d%s", p, s.n, short(rec.Tokens.RefreshToken), rec.Version&0xffff, marks(rec))
}

func marks(rec *tokenstore.Record) string {
	var b strings.Builder
	for _, mark := range []struct {
		name string
		mark *tokenstore.Mark
	}{{"pending", rec.Pending}, {"refused", rec.Refused}, {"dead", rec.Dead}} {
		if mark.mark != nil {
			fmt.Fprintf(&b, " %s:%.6s", mark.name, mark.mark.Token)
		}
	}
	return b.String()
}

// about names whose a refresh token is.
func (l *ledger) about(token string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.tokens[token]; t != nil {
		return "requests of " + t.session.name
	}
	return "other requests"
}

func (l *ledger) doom(f *family, why Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doomLocked(f, why)
}

func (l *ledger) doomLocked(f *family, why Loss) {
	if f == nil || f.doom != "" {
		return
	}
	f.doom, f.after = why, l.now()
	l.losses[why]++
	l.noteLocked("login %d is lost: %s", f.n, why)
}

// leaks returns whether a text holds a token.
func (l *ledger) leaks(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for token := range l.tokens {
		if strings.Contains(text, token) {
			return true
		}
	}
	return false
}
