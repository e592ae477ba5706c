package refresh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// witnessing gives a process what the machine knows of spent tokens.
func witnessing(w *refresh.Witness) func(*refresh.Config) {
	return func(cfg *refresh.Config) { cfg.Witness = w }
}

// putBack replaces the record by an older one, as a restored backup does.
func putBack(t *testing.T, store tokenstore.Store, old *tokenstore.Record) {
	t.Helper()
	stored, err := store.Get(context.Background(), "default")
	if err == nil {
		err = store.Delete(context.Background(), "default", stored.Version)
	}
	if err != nil {
		t.Fatal(err)
	}
	old = old.Clone()
	old.Version = 0
	if _, err := store.Set(context.Background(), "default", old); err != nil {
		t.Fatal(err)
	}
}

// A process that begins after the Store went back does not send what its machine knows to
// be spent, however old the copy is, whoever wants it, and whatever kind of process it is.
func TestF75_AKnownSpentTokenIsNotSent(t *testing.T) {
	for _, renewals := range []int{1, 2, 17, 40} {
		for _, short := range []bool{false, true} {
			for how, ask := range map[string]func(f *fixture) error{
				"a caller":  func(f *fixture) error { _, err := f.TokenContext(context.Background()); return err },
				"force":     func(f *fixture) error { return f.ForceRefresh(context.Background()) },
				"the clock": func(f *fixture) error { time.Sleep(3 * minute); return errors.New(f.GetRefreshStatus().LastError) },
			} {
				t.Run(fmt.Sprintf("%d renewals, short-lived %v, %s", renewals, short, how), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { knownSpent(t, renewals, short, ask) })
				})
			}
		}
	}
}

func knownSpent(t *testing.T, renewals int, short bool, ask func(*fixture) error) {
	machine, told := new(refresh.Witness), new(failures)
	shortLived := func(cfg *refresh.Config) { cfg.ShortLived = short }
	f := newFixture(t, oauthtest.Config{}, witnessing(machine)).start(t)
	f.renewOnce(t)
	old := f.record(t)
	for range renewals {
		f.renewOnce(t)
	}
	spends := f.requests()
	f.Stop()
	putBack(t, f.store, old)
	time.Sleep(time.Hour) // the old token is dead
	next := f.sibling(t, witnessing(machine), told.use, shortLived).resume(t)
	if !short { // others may have a newer one, and get the time to save it
		is(t, next.ForceRefresh(t.Context()), oauth.ErrTransient)
		time.Sleep(2 * minute)
	}
	err := ask(next)
	if err == nil || !strings.Contains(err.Error(), "restored from an older copy") {
		t.Errorf("error %v; want one that says what has happened", err)
	}
	_, err = next.TokenContext(t.Context())
	is(t, err, oauth.ErrLoginRequired, refresh.ErrOldCopy)
	next.inState(t, refresh.StateLoginRequired)
	time.Sleep(time.Hour)
	if n := f.requests() - spends; n != 0 {
		t.Errorf("%d requests; want none", n)
	}
	if heard := told.heard(); len(heard) != 1 {
		t.Errorf("OnRefreshFail heard %v; want it once", heard)
	}
	if got := f.record(t); got.Tokens.RefreshToken != old.Tokens.RefreshToken || got.Dead != nil {
		t.Error("the stored pair is not kept as it was")
	}
	if next.events.count(refresh.EventOldCopy) != 1 {
		t.Error("no event tells that the Store went back")
	}
	f.clean(t)
}

// While the access token of the old copy lives it is served, and a process that has the
// newer pair saves it over the copy: nothing is lost, and nobody is asked to log in.
func TestF75_TheNewerPairComesBackFromASibling(t *testing.T) {
	for _, known := range []bool{true, false} { // that the token is spent, by the machine
		for _, begins := range []bool{true, false} { // the process, after the Store went back
			t.Run(fmt.Sprintf("known %v, begins %v", known, begins), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					told := new(failures)
					mine, theirs := new(refresh.Witness), new(refresh.Witness)
					if known {
						theirs = mine
					}
					f := newFixture(t, oauthtest.Config{}, witnessing(mine), told.use).start(t)
					f.renewOnce(t)
					old := f.record(t)
					other := f.sibling(t, witnessing(theirs), told.use)
					if !begins {
						other.resume(t)
					}
					// A renewal is due after nine and a half to ten minutes: before the process that
					// has the newest pair looks again, or only after that.
					at := 8 * minute
					if known {
						at = 9*minute + 20*time.Second
					}
					time.Sleep(at)
					f.renewOnce(t)
					newest := f.GetTokens()
					putBack(t, f.store, old)
					if begins {
						other.resume(t)
					}
					other.serve(t, old.Tokens)
					time.Sleep(2*minute + 10*time.Second)
					other.serve(t, newest)
					if f.saved(t).RefreshToken != newest.RefreshToken {
						t.Error("the newest pair is not what is saved")
					}
					time.Sleep(time.Hour)
					other.inState(t, refresh.StateValid)
					if heard := told.heard(); len(heard) != 0 {
						t.Errorf("OnRefreshFail heard %v", heard)
					}
					f.clean(t)
				})
			})
		}
	}
}

// The Store is away for all when the process with the newer pair would look: it does so
// before another one, which has met no outage, says that the session has ended.
func TestF75_AnOutageCostsNoProcessItsLook(t *testing.T) {
	for phase := time.Duration(0); phase < minute; phase += 15 * time.Second { // of the checks of the one with the newer pair
		for _, from := range []time.Duration{time.Second, 20 * time.Second, 50 * time.Second} {
			for _, long := range []time.Duration{4 * time.Second, 15 * time.Second, 45 * time.Second, 3 * minute} {
				t.Run(fmt.Sprintf("%v after a check, after %v for %v", phase, from, long), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						machine, told, shared := new(refresh.Witness), new(failures), newHosted()
						ways := []*hostWay{shared.way(), shared.way()}
						f := newFixture(t, oauthtest.Config{}, witnessing(machine), ways[0].use, told.use).start(t)
						f.renewOnce(t)
						old := f.record(t)
						time.Sleep(8*minute - time.Second)
						f.renewOnce(t)
						newest := f.GetTokens()
						time.Sleep(8*minute + phase) // the old token is dead
						putBack(t, shared, old)
						other := f.sibling(t, witnessing(machine), ways[1].use, told.use).resume(t)
						time.Sleep(from)
						for _, w := range ways {
							w.cutOff(true)
						}
						time.Sleep(long)
						for _, w := range ways {
							w.cutOff(false)
						}
						time.Sleep(2 * minute)
						if got := other.GetTokens(); got.IssuedAt.Before(newest.IssuedAt) {
							t.Error("it has not the newer pair")
						}
						time.Sleep(5 * minute)
						other.inState(t, refresh.StateValid)
						if heard := told.heard(); len(heard) != 0 {
							t.Errorf("OnRefreshFail heard %v", heard)
						}
						f.clean(t)
					})
				})
			}
		}
	}
}

// A sibling that has the pair before the newest saves that over an older copy. The third,
// which has the same, hears of it from the record: nobody spends before the one with the
// newest has had its time.
func TestF75_SiblingsTellEachOtherThatTheStoreWentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newHosted()
		f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 5 * minute}, shared.way().use).start(t)
		f.renewOnce(t)
		old := f.record(t)
		f.renewOnce(t)
		second, third := f.sibling(t, shared.way().use).resume(t), f.sibling(t, shared.way().use).resume(t)
		time.Sleep(f.GetRefreshStatus().TimeUntilRefresh - time.Second)
		for f.saved(t).RefreshToken == second.GetTokens().RefreshToken { // until one of the three renews
			time.Sleep(100 * time.Millisecond)
		}
		putBack(t, shared, old)
		time.Sleep(10 * minute)
		f.clean(t)
		for _, host := range []*fixture{f, second, third} {
			host.inState(t, refresh.StateValid)
		}
	})
}

// What is written of an old copy lasts for as long as it may matter, and a login ends it.
func TestF75_ALoginEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := new(refresh.Witness)
		f := newFixture(t, oauthtest.Config{}, witnessing(machine)).start(t)
		old := f.record(t)
		f.renewOnce(t)
		f.Stop()
		putBack(t, f.store, old)
		next := f.sibling(t, witnessing(machine)).resume(t)
		time.Sleep(time.Hour)
		next.inState(t, refresh.StateLoginRequired)
		pair, err := f.server.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := next.UpdateTokens(pair); err != nil {
			t.Fatal(err)
		}
		next.serve(t, pair)
		if err := next.ForceRefresh(t.Context()); err != nil {
			t.Error(err)
		}
		next.inState(t, refresh.StateValid)
	})
}

// A server without rotation gives the same refresh token again and again: none is spent.
func TestF75_WithoutRotationNothingIsSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := new(refresh.Witness)
		f := newFixture(t, oauthtest.Config{NoRotation: true}, witnessing(machine)).start(t)
		old := f.record(t)
		for range 3 {
			f.renewOnce(t)
		}
		f.Stop()
		putBack(t, f.store, old)
		time.Sleep(time.Hour)
		next := f.sibling(t, witnessing(machine)).resume(t)
		if _, err := next.TokenContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A pair that could not be saved is not the Store's going back: until it is, what the
// Store holds may be all that is left of the session, and is sent again within the grace.
func TestF75_WhatWasNotSavedIsNotKnownToBeSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine, disk := new(refresh.Witness), newFaultyStore()
		f := newFixture(t, oauthtest.Config{Grace: time.Hour}, disk.use, breakAtSpend(disk), witnessing(machine)).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.Stop()
		f.server.AnswerLost(f.first.RefreshToken)
		disk.full(false)
		next := f.sibling(t, witnessing(machine), func(cfg *refresh.Config) { cfg.Store = disk.Store }).resume(t)
		time.Sleep(2 * minute)
		next.inState(t, refresh.StateValid)
		if f.saved(t).RefreshToken == f.first.RefreshToken {
			t.Error("the token was not sent again")
		}
		f.clean(t)
	})
}

// Who looks at a record without a manager is told, too, that it is an old copy: while its
// access token lives that a newer pair may be saved yet.
func TestF75_JudgeNoticesAnOldCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := new(refresh.Witness)
		f := newFixture(t, oauthtest.Config{}, witnessing(machine)).start(t)
		old := f.record(t)
		f.renewOnce(t)
		newer := f.record(t)
		f.Stop()
		cfg := refresh.Config{Store: f.store, Witness: machine}
		for _, tt := range []struct {
			what  string
			cfg   refresh.Config
			rec   *tokenstore.Record
			after time.Duration
			state refresh.State
			says  string
		}{
			{"the newer pair", cfg, newer, 0, refresh.StateValid, ""},
			{"the old copy, whose token lives", cfg, old, 0, refresh.StateRetrying, "went back to an older copy"},
			{"the old copy", cfg, old, time.Hour, refresh.StateLoginRequired, "restored from an older copy"},
			{"on a machine that does not know", refresh.Config{}, old, 0, refresh.StateValid, ""},
		} {
			st := refresh.Judge(tt.cfg, tt.rec, time.Now().Add(tt.after))
			if st.State != tt.state || !strings.Contains(st.LastError, tt.says) || tt.says == "" && st.LastError != "" {
				t.Errorf("%s: %s (%s); want %s (%s)", tt.what, st.State, st.LastError, tt.state, tt.says)
			}
		}
	})
}

// A copy under another path or name that is used beside the session, or after a move, is
// known to be one, however many other sessions are renewed. The session itself goes on.
func TestF75_ACopyElsewhereIsNotSpent(t *testing.T) {
	for _, named := range []bool{true, false} { // by the record; those of earlier versions are not
		for what, to := range map[string][2]string{
			"another directory": {"other", "default"}, "another name": {"sessions", "work"}, "both": {"other", "work"},
		} {
			t.Run(fmt.Sprintf("%s, login named %v", what, named), func(t *testing.T) {
				home := t.TempDir()
				for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
					t.Setenv(name, home)
				}
				t.Setenv("XDG_RUNTIME_DIR", "")
				synctest.Test(t, func(t *testing.T) { copiedElsewhere(t, home, to[0], to[1], named) })
			})
		}
	}
}

func copiedElsewhere(t *testing.T, home, dir, name string, named bool) {
	use := func(dir, name string) func(*refresh.Config) {
		file, err := tokenstore.NewFile(filepath.Join(home, dir))
		if err != nil {
			t.Fatal(err)
		}
		return func(cfg *refresh.Config) { cfg.Store, cfg.Session, cfg.ShortLived = file, name, true }
	}
	f := newFixture(t, oauthtest.Config{}, use("sessions", "default")).start(t)
	f.renewOnce(t)
	f.Stop()
	file := filepath.Join(home, "sessions", "default.json")
	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !named {
		saved = bytes.Replace(saved, []byte(`"login":`), []byte(`"login_of_another_version":`), 1)
		if err := os.WriteFile(file, saved, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := use(dir, name)
	if err := os.WriteFile(filepath.Join(home, dir, name+".json"), saved, 0o600); err != nil {
		t.Fatal(err)
	}
	f = f.sibling(t, use("sessions", "default")).resume(t)
	f.renewOnce(t)
	time.Sleep(time.Hour) // the copied token is dead
	spends := f.requests()
	next := f.sibling(t, other).resume(t)
	_, err = next.TokenContext(t.Context())
	is(t, err, refresh.ErrOldCopy, oauth.ErrLoginRequired)
	if n := f.requests() - spends; n != 0 {
		t.Errorf("%d requests; want none", n)
	}
	f.inState(t, refresh.StateValid)
	f.clean(t)
}

// The sessions of a directory have their witness where backups of it do not reach.
func TestF75_TheWitnessOfADirectoryIsOutsideOfIt(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("HOME", home)
	t.Setenv("LocalAppData", filepath.Join(home, "cache"))
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(home, "sessions")
		file, err := tokenstore.NewFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store = file }).start(t)
		f.renewOnce(t)
		backup, err := os.ReadFile(filepath.Join(dir, "default.json"))
		if err != nil {
			t.Fatal(err)
		}
		spent := f.saved(t).RefreshToken
		f.renewOnce(t)
		f.Stop()
		if err := os.WriteFile(filepath.Join(dir, "default.json"), backup, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		next := f.sibling(t, func(cfg *refresh.Config) { cfg.Store, cfg.ShortLived = file, true }).resume(t)
		_, err = next.TokenContext(t.Context())
		is(t, err, refresh.ErrOldCopy, oauth.ErrLoginRequired)
		f.clean(t)
		found := 0
		_ = filepath.WalkDir(home, func(path string, d os.DirEntry, _ error) error {
			data, err := os.ReadFile(path)
			if err != nil || strings.HasPrefix(path, dir) {
				return nil
			}
			if strings.Contains(string(data), spent) {
				t.Errorf("%s holds a token", path)
			}
			if filepath.Base(path) != "id" {
				found += strings.Count(string(data), "\n")
			}
			return nil
		})
		if found != 4 {
			t.Errorf("%d notes outside of the directory; want the two tokens that are spent, and what took their places", found)
		}
	})
}

// A server may give a refresh token again that it has given before. It is the newest then,
// for the process that was given it, for one that is started later, and for others.
func TestF75_ATokenThatIsGivenAgainIsNotSpent(t *testing.T) {
	for name, witnesses := range map[string]func(t *testing.T) (one, other *refresh.Witness){
		"one machine":  func(*testing.T) (one, other *refresh.Witness) { w := new(refresh.Witness); return w, w },
		"two machines": func(*testing.T) (one, other *refresh.Witness) { return new(refresh.Witness), new(refresh.Witness) },
		"a directory": func(t *testing.T) (one, other *refresh.Witness) {
			dir := t.TempDir()
			return refresh.OpenWitness(dir), refresh.OpenWitness(dir)
		},
	} {
		for _, given := range [][]string{{"B", "A"}, {"B", "C", "A"}} {
			t.Run(fmt.Sprint(name, given), func(t *testing.T) {
				one, other := witnesses(t)
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex // guards the server
					n, current, told := 0, "A", new(failures)
					client := refresh.RefresherFunc(func(_ context.Context, p *oauth.TokenPair) (*oauth.TokenPair, error) {
						mu.Lock()
						defer mu.Unlock()
						if p.RefreshToken != current {
							t.Errorf("%s is sent; the newest is %s", p.RefreshToken, current)
						}
						current = given[n%len(given)]
						n++
						return &oauth.TokenPair{AccessToken: fmt.Sprint("at", n), RefreshToken: current, ExpiresIn: 900}, nil
					})
					store := new(tokenstore.Memory)
					begin := func(w *refresh.Witness, first *oauth.TokenPair) *refresh.Manager {
						cfg := refresh.Config{OAuthClient: client, Store: store, Witness: w}
						told.use(&cfg)
						m := refresh.NewManager(cfg)
						t.Cleanup(m.Stop)
						if err := m.Start(t.Context(), first); err != nil {
							t.Fatal(err)
						}
						return m
					}
					m := begin(one, &oauth.TokenPair{AccessToken: "at0", RefreshToken: "A", ExpiresIn: 900, IssuedAt: time.Now()})
					second := begin(other, nil)
					for i := range 12 {
						time.Sleep(2 * minute)
						who := []*refresh.Manager{m, second}[i/2%2]
						if err := who.ForceRefresh(t.Context()); err != nil {
							t.Errorf("renewal %d: %v", i, err)
						}
						m.Stop()
						m = begin(one, nil)
					}
					time.Sleep(2 * time.Hour)
					mu.Lock()
					defer mu.Unlock()
					if n < 20 {
						t.Errorf("%d renewals", n)
					}
					if errs := told.heard(); len(errs) > 0 {
						t.Errorf("told: %v", errs)
					}
				})
			})
		}
	}
}
