package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A rewindable is a store of which copies are made and put back, as those of a
// directory or a database are. It knows which versions were ever used.
type rewindable struct {
	mu     sync.Mutex
	stored *tokenstore.Record
	used   map[uint64]int
}

func (s *rewindable) Get(context.Context, string) (*tokenstore.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored == nil {
		return nil, tokenstore.ErrNotFound
	}
	return s.stored.Clone(), nil
}

func (s *rewindable) Set(_ context.Context, _ string, rec *tokenstore.Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored == nil && rec.Version != 0 || s.stored != nil && rec.Version != s.stored.Version {
		return 0, tokenstore.ErrConflict
	}
	s.stored = rec.Clone()
	s.stored.Version = tokenstore.NextVersion(rec.Version)
	if s.used == nil {
		s.used = make(map[uint64]int)
	}
	s.used[s.stored.Version]++
	return s.stored.Version, nil
}

func (s *rewindable) Delete(_ context.Context, _ string, version uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stored == nil:
		return tokenstore.ErrNotFound
	case s.stored.Version != version:
		return tokenstore.ErrConflict
	}
	s.stored = nil
	return nil
}

func (s *rewindable) copied() *tokenstore.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored.Clone()
}

func (s *rewindable) putBack(rec *tokenstore.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = rec.Clone()
}

func (s *rewindable) use(cfg *refresh.Config) { cfg.Store = s }

// usedOnce fails the test if a version was used twice.
func (s *rewindable) usedOnce(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for version, n := range s.used {
		if n > 1 {
			t.Errorf("version %d was used %d times", version, n)
		}
	}
}

// What may be known of an old copy beside its pair and its version.
var oldCopies = map[string]func(rec *tokenstore.Record){
	"as it was":         func(*tokenstore.Record) {},
	"without ancestors": func(rec *tokenstore.Record) { rec.Ancestors = nil },
	"with a mark": func(rec *tokenstore.Record) {
		rec.Pending = &tokenstore.Mark{Token: tokenstore.Fingerprint(rec.Tokens.RefreshToken), At: rec.Tokens.IssuedAt}
	},
	"without a time of issue": func(rec *tokenstore.Record) { rec.Tokens.IssuedAt = time.Time{} },
	"dead": func(rec *tokenstore.Record) {
		rec.Dead = &tokenstore.Mark{Token: tokenstore.Fingerprint(rec.Tokens.RefreshToken), At: rec.Tokens.IssuedAt, Certain: true, Code: "invalid_grant"}
	},
}

func TestF74_AnOldCopyNeverWinsOverTheNewerPair(t *testing.T) {
	for name, edit := range oldCopies {
		for _, renewals := range []int{1, 2, 15, 16, 17, 18, 40, 100} {
			t.Run(fmt.Sprintf("%s, %d renewals old", name, renewals), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					store, told := new(rewindable), new(failures)
					f := newFixture(t, oauthtest.Config{}, store.use, told.use).start(t)
					for range 3 { // so that the copy is not of the login itself
						f.renewOnce(t)
					}
					old := store.copied()
					for range renewals {
						f.renewOnce(t)
					}
					newest := f.GetTokens()
					edit(old)
					store.putBack(old)
					time.Sleep(minute + time.Second)
					f.serve(t, newest)
					if got := f.saved(t); got.RefreshToken != newest.RefreshToken {
						t.Error("the newer pair was not written over the old copy within a check interval")
					}
					f.renewOnce(t)
					f.inState(t, refresh.StateValid)
					if heard := told.heard(); len(heard) != 0 {
						t.Errorf("OnRefreshFail heard %v", heard)
					}
					store.usedOnce(t)
					f.clean(t)
				})
			})
		}
	}
}

// renewOnce renews the session, a while after the last time.
func (f *fixture) renewOnce(t *testing.T) {
	t.Helper()
	time.Sleep(2 * time.Second)
	if err := f.ForceRefresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// The clock was set back since the copy was made: versions and lineage tell all the same.
func TestF74_AnOldCopyAfterTheClockWasSetBack(t *testing.T) {
	for _, renewals := range []int{1, 17, 40} {
		t.Run(fmt.Sprint(renewals), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk, store := newWallClock(t, monoStays), new(rewindable)
				f := newFixture(t, oauthtest.Config{}, drivenBy(clk), store.use).start(t)
				f.renewOnce(t)
				old := store.copied()
				clk.move(-24 * time.Hour)
				for range renewals {
					f.renewOnce(t)
				}
				newest := f.GetTokens()
				store.putBack(old)
				time.Sleep(minute + time.Second)
				if got := f.saved(t); got.RefreshToken != newest.RefreshToken {
					t.Error("the newer pair was not written over the old copy")
				}
				f.clean(t)
			})
		})
	}
}

// Every week the same copy is put back, and so is the one before.
func TestF74_OldCopiesPutBackAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(rewindable)
		f := newFixture(t, oauthtest.Config{}, store.use).start(t)
		f.renewOnce(t)
		var copies []*tokenstore.Record
		for i := range 60 {
			copies = append(copies, store.copied())
			f.renewOnce(t)
			store.putBack(copies[i*i%len(copies)])
			if i%3 == 0 {
				time.Sleep(minute + time.Second)
			}
		}
		time.Sleep(minute + time.Second)
		if f.saved(t).RefreshToken != f.GetTokens().RefreshToken {
			t.Error("the newer pair was not written over the old copy")
		}
		store.usedOnce(t)
		f.clean(t)
	})
}

// A pair that could not be saved, over a copy that is older still.
func TestF74_AnOldCopyUnderAnUnsavedPair(t *testing.T) {
	for _, renewals := range []int{1, 20} {
		t.Run(fmt.Sprint(renewals), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(rewindable)
				disk := newFaultyStore()
				disk.Store = lockable{store}
				f := newFixture(t, oauthtest.Config{}, disk.use, breakAtSpend(disk)).start(t)
				synctest.Wait()
				disk.full(false)
				f.renewOnce(t)
				disk.full(false)
				time.Sleep(2 * minute)
				old := store.copied()
				for range renewals {
					f.renewOnce(t)
					disk.full(false)
					time.Sleep(minute + time.Second)
				}
				f.renewOnce(t) // and the disk is full
				store.putBack(old)
				time.Sleep(2 * minute)
				disk.full(false)
				time.Sleep(2 * minute)
				if f.saved(t).RefreshToken != f.GetTokens().RefreshToken {
					t.Error("the newer pair was not written over the old copy")
				}
				f.clean(t)
			})
		})
	}
}

// lockable gives a store locks that nobody else wants.
type lockable struct{ tokenstore.Store }

func (lockable) Lock(context.Context, string) (tokenstore.Lease, error) { return heldLease{}, nil }

type heldLease struct{}

func (heldLease) Err() error    { return nil }
func (heldLease) Unlock() error { return nil }

// What is newer is taken, whatever looks old about it.
func TestF74_WhatIsNewerIsTaken(t *testing.T) {
	for name, write := range map[string]func(t *testing.T, f *fixture, store *rewindable) (want string){
		"a login over the record": func(t *testing.T, f *fixture, _ *rewindable) string {
			return f.loginElsewhere(t, "alice").RefreshToken
		},
		"a login after a logout": func(t *testing.T, f *fixture, _ *rewindable) string {
			f.logout(t)
			time.Sleep(2 * time.Second)
			return f.loginElsewhere(t, "alice").RefreshToken
		},
		"a login whose version was counted by a clock that is behind": func(t *testing.T, f *fixture, store *rewindable) string {
			pair := f.loginElsewhere(t, "alice")
			rec := store.copied()
			rec.Version -= 3600 << 20
			store.putBack(rec)
			return pair.RefreshToken
		},
		"twenty renewals elsewhere": func(t *testing.T, f *fixture, _ *rewindable) string {
			for range 20 {
				time.Sleep(100 * time.Millisecond)
				f.renewElsewhere(t)
			}
			return f.saved(t).RefreshToken
		},
		"a renewal elsewhere over an old copy": func(t *testing.T, f *fixture, store *rewindable) string {
			f.renewElsewhere(t)
			rec := store.copied()
			rec.Version -= 3600 << 20
			store.putBack(rec)
			return f.saved(t).RefreshToken
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := new(rewindable)
				f := newFixture(t, oauthtest.Config{}, store.use).start(t)
				for range 20 {
					f.renewOnce(t)
				}
				time.Sleep(2 * time.Second)
				want := write(t, f, store)
				time.Sleep(minute + time.Second)
				if f.GetTokens().RefreshToken != want || f.saved(t).RefreshToken != want {
					t.Error("the newer pair was not taken")
				}
				f.renewOnce(t)
				f.clean(t)
			})
		})
	}
}

// A file that was copied back, in the ways in which programs do that.
func TestF74_AnOldFilePutBack(t *testing.T) {
	for name, put := range map[string]func(path string, old []byte) error{
		"written in place": func(path string, old []byte) error { return os.WriteFile(path, old, 0o600) },
		"renamed": func(path string, old []byte) error {
			return errors.Join(os.WriteFile(path+".restored", old, 0o600), os.Rename(path+".restored", path))
		},
		"with its time": func(path string, old []byte) error {
			return errors.Join(os.WriteFile(path, old, 0o600), os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)))
		},
	} {
		for _, then := range []string{"look", "force"} {
			t.Run(name+", "+then, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := newRemovable(t)
					f := newFixture(t, oauthtest.Config{}, store.use).start(t)
					f.renewOnce(t)
					path := filepath.Join(store.dir, "default.json")
					old, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					for range 20 {
						f.renewOnce(t)
					}
					if err := put(path, old); err != nil {
						t.Fatal(err)
					}
					switch then {
					case "force":
						f.renewOnce(t)
					default:
						time.Sleep(minute + time.Second)
					}
					if f.saved(t).RefreshToken != f.GetTokens().RefreshToken {
						t.Error("the newer pair was not written over the old copy")
					}
					f.renewOnce(t)
					f.clean(t)
				})
			})
		}
	}
}

// A caller forces a refresh while the old copy is there: what is spent is announced, as ever.
func TestF74_TheSpendAfterAnOldCopyIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(rewindable)
		f := newFixture(t, oauthtest.Config{}, store.use)
		unannounced := 0
		client := onWire(f.server, func(_ *http.Request, form url.Values) {
			if rec := store.copied(); !rec.Pending.On(form.Get("refresh_token")) {
				unannounced++
			}
		})
		m := f.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient = client }).start(t)
		m.renewOnce(t)
		old := store.copied()
		for range 20 {
			m.renewOnce(t)
		}
		store.putBack(old)
		m.renewOnce(t)
		if unannounced != 0 {
			t.Errorf("%d spends that were not announced", unannounced)
		}
		m.clean(t)
	})
}
