package session

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/benbjohnson/clock"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/gate"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

// A desk is a session over a Store in memory, with a server and a host that note what
// they are asked and told. Tests run it in a synctest bubble.
type desk struct {
	*Session
	cfg      *Config
	store    *shelf
	server   func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error)
	sent     []string // refresh tokens
	events   []Kind
	last     Event       // of them
	told     []error     // by LoginRequired
	woken    int         // by Wake
	changed  int         // by Changed
	outlived int         // calls of Outlive
	unused   bool        // no caller asks for the token
	waits    func() bool // whether a caller waits for it; nil: none does
}

func (d *desk) Emit(e Event)                    { d.events, d.last = append(d.events, e.Kind), e }
func (d *desk) LoginRequired(_ string, e error) { d.told = append(d.told, e) }
func (d *desk) Changed()                        { d.changed++ }
func (d *desk) Wake()                           { d.woken++ }
func (d *desk) InUse() bool                     { return !d.unused }
func (d *desk) Waiting() bool                   { return d.waits != nil && d.waits() }

func (d *desk) Logout(ctx context.Context) error {
	return d.Session.Logout(ctx, func(_ context.Context, f func() error) error { return f() })
}

func (d *desk) Outlive(f func()) {
	d.outlived++
	go f()
}

// run is a Run that does not end by itself.
type run struct {
	over bool
	ctx  context.Context // nil: does not end
	lent int             // how often
}

func (r *run) Over() bool { return r.over || r.ctx != nil && r.ctx.Err() != nil }
func (r *run) Context() context.Context {
	if r.ctx != nil {
		return r.ctx
	}
	return context.Background()
}

func (r *run) Before() func(context.Context) error { return nil }

func (r *run) Lend(wait func()) {
	r.lent++
	wait()
}

// A shelf is a Store that can fail, and in which others can be faster.
type shelf struct {
	*tokenstore.Memory
	fails       error                    // of reading and writing
	full        error                    // of writing alone
	limit       int                      // how long an access or refresh token may be; 0: as long as it is
	from, until time.Time                // when it fails; zero: all the time
	beforeGet   func()                   // nil: nothing happens
	beforeSet   func(*tokenstore.Record) // the same
	beforeSpend func() error             // of BeginSpend; an error is its
	lease       func(tokenstore.Lease) tokenstore.Lease

	gets, sets, locks, spends, settles int          // how often it was asked
	leases                             atomic.Int64 // that are held
	contexts                           []context.Context
	durable                            bool // as BeginSpend was asked
}

// failing is what the Store fails with now.
func (s *shelf) failing() error {
	if now := time.Now(); now.Before(s.from) || !s.until.IsZero() && !now.Before(s.until) {
		return nil
	}
	return s.fails
}

func (s *shelf) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	s.gets++
	s.contexts = append(s.contexts, ctx)
	if s.beforeGet != nil {
		s.beforeGet()
	}
	if err := s.failing(); err != nil {
		return nil, err
	}
	return s.Memory.Get(ctx, name)
}

func (s *shelf) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	s.sets++
	s.contexts = append(s.contexts, ctx)
	if err := cmp.Or(s.failing(), s.full, s.tooLong(rec)); err != nil {
		return 0, err
	}
	if s.beforeSet != nil {
		s.beforeSet(rec)
	}
	return s.Memory.Set(ctx, name, rec)
}

func (s *shelf) tooLong(rec *tokenstore.Record) error {
	if s.limit > 0 && max(len(rec.Tokens.AccessToken), len(rec.Tokens.RefreshToken)) > s.limit {
		return tokenstore.ErrTooLong
	}
	return nil
}

func (s *shelf) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	s.locks++
	lease, err := s.Memory.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	s.leases.Add(1)
	lease = &counted{lease, s}
	if s.lease != nil {
		lease = s.lease(lease)
	}
	return lease, nil
}

// BeginSpend implements tokenstore.Spender, for the tests that want one.
func (s *shelf) BeginSpend(ctx context.Context, _ tokenstore.Store, name string, rec *tokenstore.Record, durable bool) (tokenstore.Spending, uint64, error) {
	s.spends++
	s.durable = durable
	if before := s.beforeSpend; before != nil {
		s.beforeSpend = nil
		if err := before(); err != nil {
			return nil, 0, err
		}
	}
	lease, err := s.Lock(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	version, err := s.Set(ctx, name, rec)
	if err != nil {
		_ = lease.Unlock()
		return nil, 0, err
	}
	return &spending{lease, s, name}, version, nil
}

type spending struct {
	tokenstore.Lease
	of   *shelf
	name string
}

func (s *spending) Settle(ctx context.Context, rec *tokenstore.Record) (uint64, error) {
	s.of.settles++
	version, err := s.of.Set(ctx, s.name, rec)
	if err == nil {
		err = s.Unlock()
	}
	return version, err
}

type counted struct {
	tokenstore.Lease
	of *shelf
}

func (c *counted) Unlock() error {
	if c.Err() == nil {
		c.of.leases.Add(-1)
	}
	return c.Lease.Unlock()
}

const session = "alice"

// edit changes the record as another process does that does not ask for the lock.
func (s *shelf) edit(t *testing.T, change func(rec *tokenstore.Record)) {
	t.Helper()
	rec, err := s.Memory.Get(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	change(rec)
	if _, err := s.Memory.Set(t.Context(), session, rec); err != nil {
		t.Error(err)
	}
}

// put saves the next pair of the session.
func (s *shelf) put(t *testing.T, pair *oauth.TokenPair) {
	t.Helper()
	s.edit(t, func(rec *tokenstore.Record) { rec.Supersede(pair) })
}

func (s *shelf) remove(t *testing.T) {
	t.Helper()
	rec, err := s.Memory.Get(t.Context(), session)
	if err == nil {
		err = s.Delete(t.Context(), session, rec.Version)
	}
	if err != nil {
		t.Error(err)
	}
}

// pair is the nth pair of a login.
func pair(n string) *oauth.TokenPair {
	return &oauth.TokenPair{AccessToken: "a" + n, RefreshToken: "r" + n, IssuedAt: time.Now().UTC(), ExpiresAt: time.Now().Add(time.Hour).UTC(), ExpiresIn: 3600}
}

// ended is a server's word that a session is over.
var ended = &oauth.Error{Op: "refresh", Kind: oauth.ErrLoginRequired, Code: "invalid_grant", Status: 400, Sent: true}

// newDesk returns a session that has begun an hour and a half ago, so that its token is
// dead and no renewal is recent.
func newDesk(t *testing.T, edits ...func(d *desk)) *desk {
	t.Helper()
	d := &desk{store: &shelf{Memory: new(tokenstore.Memory)}}
	d.cfg = &Config{
		Refresh: func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
			d.sent = append(d.sent, t.RefreshToken)
			return d.server(ctx, t)
		},
		Store: d.store, Records: d.store, Locker: d.store,
		Gate: gate.New("as", gate.Limits{}, 1), Clock: clock.New(), Logger: slog.New(slog.DiscardHandler),
		RefreshThreshold: 5 * time.Minute, CheckInterval: time.Minute, RefreshTimeout: 30 * time.Second, MaxWait: 30 * time.Second,
		ConfigID: "config", RenewsGrant: func(string) bool { return false },
	}
	d.cfg.Gate.Join()
	for _, edit := range edits {
		edit(d)
	}
	d.Session = New(d.cfg, session, d, new(snapshot.Cell))
	if err := d.Begin(t.Context(), pair("1"), nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(90 * time.Minute)
	return d
}

// renew asks for a renewal as a caller does who waits for it.
func (d *desk) renew(t *testing.T) error {
	t.Helper()
	return d.Renew(t.Context(), new(run), Want{Stale: d.cur.Load(), Force: true})
}

// holding fails the test unless those are the leases that are held.
func (d *desk) holding(t *testing.T, leases int) {
	t.Helper()
	if held := d.store.leases.Load(); held != int64(leases) {
		t.Errorf("%d leases are held; want %d", held, leases)
	}
}

// shows fails the test unless readers see that access token, "" for none.
func (d *desk) shows(t *testing.T, want string) {
	t.Helper()
	got := ""
	if cur := d.cur.Load(); cur != nil {
		got = cur.Pair.AccessToken
	}
	if got != want {
		t.Errorf("readers see the token %q; want %q", got, want)
	}
}

func (d *desk) count(kind Kind) (n int) {
	for _, k := range d.events {
		if k == kind {
			n++
		}
	}
	return n
}

func inBubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestPairsAreTheSameIfBothOfTheirTokensAre(t *testing.T) {
	for _, tt := range []struct {
		access, refresh string
		want            bool
	}{{"a", "r", false}, {"b", "r", true}, {"a", "s", true}, {"b", "s", true}} {
		other := &oauth.TokenPair{AccessToken: tt.access, RefreshToken: tt.refresh}
		if got := differs(&oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}, other); got != tt.want {
			t.Errorf("%s and %s: differs %v; want %v", tt.access, tt.refresh, got, tt.want)
		}
	}
}

// A grant that the server calls dead may have been renewed by another process, logged out
// or replaced, at any moment until this one has written its verdict. Then nothing ends,
// and the program hears nothing.
func TestLaw4_AVerdictGivesWayToWhatHappensMeanwhile(t *testing.T) {
	type when struct {
		name string
		do   func(d *desk, what func())
	}
	answer := when{"while the server answers", func(d *desk, what func()) {
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			what()
			return nil, ended
		}
	}}
	verdict := when{"before the verdict is written", func(d *desk, what func()) {
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			d.store.beforeSet = func(rec *tokenstore.Record) {
				if rec.Dead != nil {
					d.store.beforeSet = nil
					what()
				}
			}
			return nil, ended
		}
	}}
	check := when{"before the verdict is checked", func(d *desk, what func()) {
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			d.store.beforeGet = func() {
				d.store.beforeGet = nil
				what()
			}
			return nil, ended
		}
	}}
	for _, w := range []when{answer, check, verdict} {
		inBubble(t, "renewed "+w.name, func(t *testing.T) {
			d := newDesk(t)
			w.do(d, func() { d.store.put(t, pair("2")) })
			if err := d.renew(t); err != nil {
				t.Errorf("error %v; want the other's pair", err)
			}
			d.shows(t, "a2")
			if h := d.Health(); h.State != StateValid || len(d.told) != 0 {
				t.Errorf("state %v, told %v", h.State, d.told)
			}
			if rec, err := d.store.Get(t.Context(), session); err != nil || rec.Dead != nil {
				t.Errorf("the successor is said to be dead: %v, %v", rec.Dead, err)
			}
			d.holding(t, 0)
		})
		inBubble(t, "logged out "+w.name, func(t *testing.T) {
			d := newDesk(t)
			w.do(d, func() { d.store.remove(t) })
			if err := d.renew(t); !errors.Is(err, ErrLoggedOut) {
				t.Errorf("error %v; want %v", err, ErrLoggedOut)
			}
			d.shows(t, "")
			if h := d.Health(); h.State != StateLoggedOut || len(d.told) != 0 {
				t.Errorf("state %v, told %v", h.State, d.told)
			}
			d.holding(t, 0)
		})
		inBubble(t, "replaced by a login here "+w.name, func(t *testing.T) {
			d := newDesk(t)
			ctx, replace := context.WithCancelCause(t.Context())
			w.do(d, func() { replace(ErrReplaced) })
			if err := d.Renew(ctx, new(run), Want{Stale: d.cur.Load(), Force: true}); !errors.Is(err, ErrReplaced) {
				t.Errorf("error %v; want %v", err, ErrReplaced)
			}
			if h := d.Health(); h.State == StateLoginRequired || len(d.told) != 0 {
				t.Errorf("state %v, told %v", h.State, d.told)
			}
			d.holding(t, 0)
		})
	}
	inBubble(t, "nothing happens", func(t *testing.T) {
		d := newDesk(t)
		verdict.do(d, func() {})
		if err := d.renew(t); !errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("error %v; want %v", err, oauth.ErrLoginRequired)
		}
		rec, err := d.store.Get(t.Context(), session)
		if err != nil || !rec.Condemned("config") || rec.Tokens.RefreshToken != "r1" || rec.Pending != nil || rec.Refused != nil {
			t.Errorf("the record after the verdict: %+v, %v", rec, err)
		}
		if h := d.Health(); h.State != StateLoginRequired || len(d.told) != 1 || d.count(EventLoginRequired) != 1 {
			t.Errorf("state %v, told %v, events %v", h.State, d.told, d.events)
		}
		d.holding(t, 0)
	})
}

// While the Store cannot be read the verdict waits, and the token is not sent again.
func TestLaw4_AVerdictWaitsForTheStore(t *testing.T) {
	for _, renewed := range []bool{false, true} {
		inBubble(t, "renewed meanwhile "+map[bool]string{true: "yes", false: "no"}[renewed], func(t *testing.T) {
			d := newDesk(t)
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				d.store.fails = tokenstore.ErrUnavailable
				return nil, ended
			}
			for range 2 {
				if err := d.renew(t); !errors.Is(err, oauth.ErrTransient) {
					t.Errorf("error %v; want %v", err, oauth.ErrTransient)
				}
			}
			if h := d.Health(); h.State != StateRetrying || len(d.told) != 0 {
				t.Errorf("state %v, told %v", h.State, d.told)
			}
			d.store.fails = nil
			want := StateLoginRequired
			if renewed {
				d.store.put(t, pair("2"))
				want = StateValid
			}
			if err := d.renew(t); (err == nil) != renewed {
				t.Errorf("error %v", err)
			}
			if h := d.Health(); h.State != want {
				t.Errorf("state %v; want %v", h.State, want)
			}
			if len(d.sent) != 1 {
				t.Errorf("sent %d times; want once", len(d.sent))
			}
			d.holding(t, 0)
		})
	}
}

// A process that could not save what it has spent keeps the lock. When the session is
// logged out elsewhere it gives that up, with all that it holds.
func TestLaw10_ALogoutElsewhereLeavesNothingBehind(t *testing.T) {
	inBubble(t, "with an unsaved pair", func(t *testing.T) {
		d := newDesk(t)
		d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
			d.store.fails = tokenstore.ErrUnavailable
			return pair("2"), nil
		}
		if err := d.renew(t); err != nil {
			t.Fatal(err)
		}
		d.shows(t, "a2")
		d.holding(t, 1)
		d.publishResource("https://api", pair("3"))

		d.store.fails = nil
		d.store.remove(t)
		if err := d.Adopt(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.holding(t, 0)
		d.shows(t, "")
		if d.currentFor("https://api") != nil {
			t.Error("the token for a resource is still shown")
		}
		if h := d.Health(); h.State != StateLoggedOut || !errors.Is(h.Err, ErrLoggedOut) || d.count(EventLoggedOut) != 1 {
			t.Errorf("state %v: %v; events %v", h.State, h.Err, d.events)
		}
		if err := d.SaveAtLast(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if _, err := d.store.Get(t.Context(), session); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("the session is back in the Store: %v", err)
		}
		d.holding(t, 0)
		if d.kept != nil || d.spending != nil {
			t.Error("the session still refers to the lease")
		}
	})
}

// A spend is announced before it happens, and the lock is held while it does.
func TestLaw1_ASpendIsAnnouncedUnderTheLock(t *testing.T) {
	inBubble(t, "one", func(t *testing.T) {
		d := newDesk(t)
		d.server = func(_ context.Context, tokens *oauth.TokenPair) (*oauth.TokenPair, error) {
			d.holding(t, 1)
			if rec, err := d.store.Get(t.Context(), session); err != nil || !rec.Pending.On("r1") {
				t.Errorf("not announced: %+v, %v", rec, err)
			}
			return pair("2"), nil
		}
		if err := d.renew(t); err != nil {
			t.Fatal(err)
		}
		d.holding(t, 0)
		rec, err := d.store.Get(t.Context(), session)
		if err != nil || rec.Pending != nil || rec.Tokens.RefreshToken != "r2" || !slices.Equal(d.sent, []string{"r1"}) {
			t.Errorf("after the spend: %+v, %v; sent %v", rec, err, d.sent)
		}
	})
}
