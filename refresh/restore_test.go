package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A farStore is a store that each call takes a while to reach. It counts them, and a page
// is one.
type farStore struct {
	*tokenstore.Memory
	rtt time.Duration

	mu    sync.Mutex
	calls map[string]int

	get  func(name string) error                         // instead of a record, if not nil
	page func(number int, page []tokenstore.Entry) error // what comes instead of a page, or may be changed on it
}

func newFarStore(rtt time.Duration) *farStore {
	return &farStore{Memory: new(tokenstore.Memory), rtt: rtt, calls: make(map[string]int)}
}

func (s *farStore) call(ctx context.Context, what string) error {
	s.mu.Lock()
	s.calls[what]++
	s.mu.Unlock()
	return sleep.For(ctx, s.rtt)
}

// called returns how many calls there were since the last time, and forgets them.
func (s *farStore) called() (calls map[string]int, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls, s.calls = s.calls, make(map[string]int)
	for _, n := range calls {
		all += n
	}
	return calls, all
}

func (s *farStore) Get(ctx context.Context, name string) (*tokenstore.Record, error) {
	if err := s.call(ctx, "Get"); err != nil {
		return nil, err
	}
	if s.get != nil {
		if err := s.get(name); err != nil {
			return nil, err
		}
	}
	return s.Memory.Get(ctx, name)
}

func (s *farStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if err := s.call(ctx, "Set"); err != nil {
		return 0, err
	}
	return s.Memory.Set(ctx, name, rec)
}

func (s *farStore) Stamp(ctx context.Context, name string) (uint64, error) {
	if err := s.call(ctx, "Stamp"); err != nil {
		return 0, err
	}
	return s.Memory.Stamp(ctx, name)
}

func (s *farStore) Names(ctx context.Context) ([]string, error) {
	if err := s.call(ctx, "Names"); err != nil {
		return nil, err
	}
	return s.Memory.Names(ctx)
}

func (s *farStore) Pages(ctx context.Context, size int) iter.Seq2[[]tokenstore.Entry, error] {
	return func(yield func([]tokenstore.Entry, error) bool) {
		number := 0
		for page, err := range s.Memory.Pages(ctx, size) {
			if err == nil {
				err = s.call(ctx, "Pages")
			}
			if err == nil && s.page != nil {
				err = s.page(number, page)
			}
			if !yield(page, err) || err != nil {
				return
			}
			number++
		}
	}
}

// hold saves n sessions of the endpoint in the store, without a call.
func (s *farStore) hold(t *testing.T, e *endpoint, n int, edit func(i int, pair *oauth.TokenPair)) {
	t.Helper()
	for i := range n {
		pair := e.pair()
		pair.RefreshToken = "refresh-" + userName(i)
		if edit != nil {
			edit(i, pair)
		}
		if _, err := s.Memory.Set(t.Context(), userName(i), &tokenstore.Record{Tokens: pair}); err != nil {
			t.Fatal(err)
		}
	}
}

func userName(i int) string { return fmt.Sprintf("user-%05d", i) }

// A listedStore has no pages.
type listedStore struct {
	tokenstore.Store
	tokenstore.Stamper
	tokenstore.Lister
}

func listed(s *farStore) tokenstore.Store { return listedStore{s, s, s} }

// eachStore calls fn with a store that reads by the page, and with one that only lists.
func eachStore(t *testing.T, rtt time.Duration, fn func(t *testing.T, s *farStore, store tokenstore.Store)) {
	for name, wrap := range map[string]func(*farStore) tokenstore.Store{
		"pages": func(s *farStore) tokenstore.Store { return s },
		"names": listed,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFarStore(rtt)
				fn(t, s, wrap(s))
			})
		})
	}
}

// restoring starts a pool over a store.
func restoring(t *testing.T, e *endpoint, store tokenstore.Store, edits ...func(*refresh.PoolConfig)) *refresh.Pool {
	t.Helper()
	p, _ := manySessions(t, e, 0, append(edits, func(cfg *refresh.PoolConfig) { cfg.Store = store })...)
	return p
}

func TestRestoreAsksTheStoreLittleAndSoonHasAll(t *testing.T) {
	const n, rtt = 10_000, time.Millisecond
	eachStore(t, rtt, func(t *testing.T, s *farStore, store tokenstore.Store) {
		for _, rate := range []float64{0, 100} { // with a rate, plans depend on how many there are
			e := &endpoint{name: "https://as", takes: 100 * time.Millisecond, life: 24 * time.Hour}
			s.hold(t, e, n, func(_ int, pair *oauth.TokenPair) { pair.IssuedAt = pair.IssuedAt.Add(-time.Minute) })
			p := restoring(t, e, store, func(cfg *refresh.PoolConfig) { cfg.Limits.Rate = rate })
			begun := time.Now()
			opened, err := p.Restore(t.Context())
			if opened != n || err != nil {
				t.Errorf("restored %d, %v", opened, err)
			}
			if took := time.Since(begun); took > n*rtt/32 {
				t.Errorf("it took %v; want %v at most", took, n*rtt/32)
			}
			synctest.Wait()
			if calls, all := s.called(); float64(all) > 1.1*n {
				t.Errorf("%d sessions cost %v", n, calls)
			}
			time.Sleep(2 * minute)
			if st := p.Stats(); st.Sessions != n || st.Dormant < n*99/100 {
				t.Errorf("%d sessions open, %d of them dormant; want all", st.Sessions, st.Dormant)
			}
			calls, _ := s.called()
			if _, pages := store.(tokenstore.Pager); pages && calls["Get"] > 0 {
				t.Errorf("what was read by the page is read again: %v", calls)
			}
			if most := 3 * n; calls["Stamp"] > most || calls["Stamp"] < n {
				t.Errorf("%d looks at %d sessions in two check intervals", calls["Stamp"], n)
			}
			p.Stop()
			s.Memory = new(tokenstore.Memory)
			s.called()
		}
	})
}

// Not all sessions that were opened in a moment are looked at in one, a check interval later.
func TestLooksAfterRestoreAreSpread(t *testing.T) {
	const n = 6000
	synctest.Test(t, func(t *testing.T) {
		s := newFarStore(0)
		e := &endpoint{name: "https://as", life: 24 * time.Hour}
		s.hold(t, e, n, nil)
		if opened, err := restoring(t, e, s).Restore(t.Context()); opened != n || err != nil {
			t.Fatalf("restored %d, %v", opened, err)
		}
		s.called()
		for range 60 {
			time.Sleep(time.Second)
			synctest.Wait()
			if calls, _ := s.called(); calls["Stamp"] > 3*n/60 {
				t.Errorf("%d looks in a second; %d a second would do", calls["Stamp"], n/60)
			}
		}
	})
}

func TestRestoreRenewsTheSoonestDueFirst(t *testing.T) {
	const n = 1500
	for _, ended := range []time.Duration{0, time.Hour} { // alive, and long dead
		eachStore(t, time.Millisecond, func(t *testing.T, s *farStore, store tokenstore.Store) {
			var mu sync.Mutex
			var order []time.Time
			now := time.Now()
			e := &endpoint{name: "https://as", life: time.Hour}
			refresher := refresh.RefresherFunc(func(ctx context.Context, old *oauth.TokenPair) (*oauth.TokenPair, error) {
				mu.Lock()
				order = append(order, old.ExpiresAt)
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
				return e.pair(), nil
			})
			ends := rand.Perm(n)
			s.hold(t, e, n, func(i int, pair *oauth.TokenPair) {
				pair.ExpiresAt = now.Add(time.Duration(ends[i])*(4*minute)/n - ended)
				pair.IssuedAt = pair.ExpiresAt.Add(-time.Hour)
			})
			p := restoring(t, e, store, func(cfg *refresh.PoolConfig) { cfg.OAuthClient, cfg.Workers = refresher, 8 })
			if opened, err := p.Restore(t.Context()); opened != n || err != nil {
				t.Errorf("restored %d, %v", opened, err)
			}
			time.Sleep(2 * minute)
			synctest.Wait()
			if len(order) != n {
				t.Fatalf("%d renewals of %d sessions", len(order), n)
			}
			sorted := slices.SortedFunc(slices.Values(order), time.Time.Compare)
			off := 0
			for i := range order {
				turn, _ := slices.BinarySearchFunc(sorted, order[i], time.Time.Compare)
				off = max(off, i-turn, turn-i)
			}
			if off > 3*8 { // eight at a time
				t.Errorf("a session was renewed %d places from its turn", off)
			}
		})
	}
}

// Whatever is wrong with some records, the others are opened, and the errors say what it is.
func TestRestoreOpensTheOthers(t *testing.T) {
	const n = 3000
	bad := map[string]error{
		userName(5):    tokenstore.ErrDamaged,
		userName(1500): tokenstore.ErrNewerFormat,
		userName(1501): errors.New("nobody knows"),
		userName(2998): tokenstore.ErrNotFound, // deleted meanwhile
		userName(2999): nil,                    // panics
	}
	eachStore(t, time.Millisecond, func(t *testing.T, s *farStore, store tokenstore.Store) {
		e := &endpoint{name: "https://as", life: 24 * time.Hour}
		s.hold(t, e, n, nil)
		s.get = func(name string) error {
			err, isBad := bad[name]
			if isBad && err == nil {
				panic("out of cheese")
			}
			return err
		}
		s.page = func(_ int, page []tokenstore.Entry) error {
			for i := range page {
				if _, isBad := bad[page[i].Name]; isBad {
					page[i].Record = nil
				}
			}
			return nil
		}
		p := restoring(t, e, store)
		opened, err := p.Restore(t.Context())
		if opened != n-len(bad) || p.Stats().Sessions != opened {
			t.Errorf("restored %d, and %d are open; want %d", opened, p.Stats().Sessions, n-len(bad))
		}
		for _, want := range []error{tokenstore.ErrDamaged, tokenstore.ErrNewerFormat, bad[userName(1501)]} {
			is(t, err, want)
		}
		if text := fmt.Sprint(err); !strings.Contains(text, "panic in Store.Get") || strings.Contains(text, userName(2998)) || !strings.Contains(text, userName(5)) {
			t.Errorf("error %q; want it to name the sessions that cannot be read, and none that is gone", text)
		}
	})
}

func TestRestoreNamesSomeOfManyErrors(t *testing.T) {
	const n = 2000
	eachStore(t, 0, func(t *testing.T, s *farStore, store tokenstore.Store) {
		e := &endpoint{name: "https://as", life: 24 * time.Hour}
		s.hold(t, e, n, nil)
		s.get = func(string) error { return tokenstore.ErrDamaged }
		s.page = func(_ int, page []tokenstore.Entry) error {
			for i := range page {
				page[i].Record = new(tokenstore.Record) // of a session without tokens
			}
			return nil
		}
		opened, err := restoring(t, e, store).Restore(t.Context())
		text := fmt.Sprint(err)
		if lines := strings.Count(text, "\n"); opened != 0 || lines != 100 || !strings.Contains(text, "1900 more sessions") {
			t.Errorf("restored %d, with an error of %d lines that ends with %q", opened, lines+1, text[strings.LastIndex(text, "\n")+1:])
		}
	})
}

// A store that fails half way leaves what is open open, and another call goes on.
func TestRestoreGoesOnAfterAnOutage(t *testing.T) {
	const n = 3500
	synctest.Test(t, func(t *testing.T) {
		s := newFarStore(time.Millisecond)
		e := &endpoint{name: "https://as", life: 24 * time.Hour}
		s.hold(t, e, n, nil)
		s.page = func(number int, _ []tokenstore.Entry) error {
			if number == 2 {
				return tokenstore.ErrUnavailable
			}
			return nil
		}
		p := restoring(t, e, s)
		opened, err := p.Restore(t.Context())
		is(t, err, tokenstore.ErrUnavailable)
		if opened != 2000 || p.Stats().Sessions != 2000 {
			t.Errorf("restored %d, and %d are open; want two pages of 1000", opened, p.Stats().Sessions)
		}
		s.page = nil
		if opened, err = p.Restore(t.Context()); opened != n || err != nil || p.Stats().Sessions != n {
			t.Errorf("restored %d, %v; want all", opened, err)
		}
	})
}

func TestRestoreEndsWithItsContextAndWithThePool(t *testing.T) {
	const n = 5_000
	for what, end := range map[string]func(p *refresh.Pool, cancel func()){
		"context": func(_ *refresh.Pool, cancel func()) { cancel() },
		"pool":    func(p *refresh.Pool, _ func()) { p.Stop() },
	} {
		t.Run(what, func(t *testing.T) {
			eachStore(t, 20*time.Millisecond, func(t *testing.T, s *farStore, store tokenstore.Store) {
				e := &endpoint{name: "https://as", life: 24 * time.Hour}
				s.hold(t, e, n, nil)
				p := restoring(t, e, store)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var ended time.Time
				time.AfterFunc(50*time.Millisecond, func() {
					ended = time.Now()
					end(p, cancel)
				})
				opened, err := p.Restore(ctx)
				if took := time.Since(ended); took > 20*time.Millisecond || opened == 0 || opened == n {
					t.Errorf("it went on for %v, and restored %d", took, opened)
				}
				if what == "context" {
					is(t, err, context.Canceled)
				} else {
					is(t, err, refresh.ErrStopped)
				}
			})
		})
	}
}

// A session that the program asks for while all are being restored comes as if they were not.
func TestASessionThatIsAskedForComesBeforeTheRestored(t *testing.T) {
	const n, rtt = 5_000, 10 * time.Millisecond
	eachStore(t, rtt, func(t *testing.T, s *farStore, store tokenstore.Store) {
		e := &endpoint{name: "https://as", takes: 50 * time.Millisecond, life: time.Hour}
		s.hold(t, e, n, func(_ int, pair *oauth.TokenPair) { // all of them dead
			pair.IssuedAt, pair.ExpiresAt = pair.IssuedAt.Add(-2*time.Hour), pair.ExpiresAt.Add(-2*time.Hour)
		})
		p := restoring(t, e, store)
		var restored sync.WaitGroup
		restored.Go(func() {
			if opened, err := p.Restore(t.Context()); opened != n || err != nil {
				t.Errorf("restored %d, %v", opened, err)
			}
		})
		time.Sleep(25 * time.Millisecond)
		begun := time.Now()
		m, err := p.Session(t.Context(), userName(n-1))
		if took := time.Since(begun); err != nil || took > 2*rtt {
			t.Errorf("the session came after %v, %v", took, err)
		}
		begun = time.Now()
		pair, err := m.TokenContext(t.Context())
		// Eight calls of the store at most, and its own renewal behind one that is being made.
		if took := time.Since(begun); err != nil || !pair.ExpiresAt.After(time.Now()) || took > 8*rtt+2*e.takes {
			t.Errorf("its token came after %v, %v", took, err)
		}
		restored.Wait()
		if m2, err := p.Session(t.Context(), userName(n-1)); m2 != m || err != nil {
			t.Errorf("it was opened twice: %v", err)
		}
	})
}

// What another process has saved after a page was read is adopted within a check interval,
// and a session that it has logged out of ends.
func TestRestoredSessionsHearOfWhatHappenedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFarStore(time.Millisecond)
		e := &endpoint{name: "https://as", life: 24 * time.Hour}
		s.hold(t, e, 3, nil)
		newer := e.pair()
		s.page = func(_ int, page []tokenstore.Entry) error {
			if _, err := s.Memory.Set(t.Context(), userName(0), &tokenstore.Record{
				Tokens: newer, Version: page[0].Record.Version, Ancestors: []string{tokenstore.Fingerprint(page[0].Record.Tokens.RefreshToken)},
			}); err != nil {
				t.Error(err)
			}
			return s.Memory.Delete(t.Context(), userName(1), page[1].Record.Version)
		}
		p := restoring(t, e, s)
		if opened, err := p.Restore(t.Context()); opened != 3 || err != nil {
			t.Fatalf("restored %d, %v", opened, err)
		}
		time.Sleep(minute + time.Second)
		for st := range p.Statuses() {
			want := map[string]refresh.State{userName(0): refresh.StateValid, userName(1): refresh.StateLoggedOut, userName(2): refresh.StateValid}[st.Session]
			if st.State != want {
				t.Errorf("%s is %s; want %s", st.Session, st.State, want)
			}
		}
		m, err := p.Session(t.Context(), userName(0))
		if err != nil || m.GetTokens().AccessToken != newer.AccessToken {
			t.Errorf("the newer pair was not adopted: %v", err)
		}
		if n := len(e.requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// A session that Configure gives a Store of its own is read there.
func TestRestoreLeavesASessionItsOwnStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, own := newFarStore(time.Millisecond), new(tokenstore.Memory)
		e := &endpoint{name: "https://as", life: 24 * time.Hour}
		s.hold(t, e, 2, nil)
		pair := e.pair()
		if _, err := own.Set(t.Context(), userName(1), &tokenstore.Record{Tokens: pair}); err != nil {
			t.Fatal(err)
		}
		p := restoring(t, e, s, func(cfg *refresh.PoolConfig) {
			cfg.Configure = func(session string, cfg *refresh.Config) {
				if session == userName(1) {
					cfg.Store = own
				}
			}
		})
		if opened, err := p.Restore(t.Context()); opened != 2 || err != nil {
			t.Errorf("restored %d, %v", opened, err)
		}
		m, err := p.Session(t.Context(), userName(1))
		if err != nil || m.GetTokens().AccessToken != pair.AccessToken {
			t.Errorf("it has another store's token: %v", err)
		}
	})
}

// However slow the opening is, no more than two pages are in memory.
func TestRestoreReadsNoFurtherThanItOpens(t *testing.T) {
	const n = 10_000
	synctest.Test(t, func(t *testing.T) {
		s := newFarStore(time.Millisecond)
		e := &endpoint{name: "https://as", life: 24 * time.Hour}
		s.hold(t, e, n, nil)
		free := make(chan struct{})
		s.get = func(string) error { <-free; return nil }
		s.page = func(_ int, page []tokenstore.Entry) error {
			for i := range page {
				page[i].Record = nil // each needs a call of its own
			}
			return nil
		}
		p := restoring(t, e, s)
		var restored sync.WaitGroup
		restored.Go(func() {
			if opened, err := p.Restore(t.Context()); opened != n || err != nil {
				t.Errorf("restored %d, %v", opened, err)
			}
		})
		time.Sleep(time.Second)
		if calls, _ := s.called(); calls["Pages"] > 3 {
			t.Errorf("%d pages of 1000 are read while none is opened", calls["Pages"])
		}
		close(free)
		restored.Wait()
	})
}

// A Store that is changed while it is listed may name a session twice.
func TestRestoreCountsASessionOnce(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		server := oauthtest.New(oauthtest.Config{})
		store := new(tokenstore.Memory)
		pair, err := server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := tokenstore.Func(store, "alice")(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: twicePager{store}}})
		t.Cleanup(pool.Stop)
		if err := pool.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := pool.Restore(t.Context()); n != 1 || err != nil {
			t.Errorf("%d sessions are open, %v; want 1", n, err)
		}
	})
}

type twicePager struct{ *tokenstore.Memory }

func (s twicePager) Pages(ctx context.Context, size int) iter.Seq2[[]tokenstore.Entry, error] {
	return func(yield func([]tokenstore.Entry, error) bool) {
		for page, err := range s.Memory.Pages(ctx, size) {
			for range 2 {
				if !yield(page, err) {
					return
				}
			}
		}
	}
}
