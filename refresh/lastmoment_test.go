package refresh_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// The person logs in anew in the moment in which the old grant is found dead. Then
// OnRefreshFail is not told of the old one, and asks for no second login.

// moments are when the login is saved.
var moments = map[string]func(s *faultyStore, cfg *refresh.Config, login func() bool){
	"while the server answers": func(_ *faultyStore, cfg *refresh.Config, login func() bool) {
		next := cfg.OAuthClient
		cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
			pair, err := next.Refresh(ctx, t)
			login()
			return pair, err
		})
	},
	"just before the verdict is saved": func(s *faultyStore, _ *refresh.Config, login func() bool) {
		s.onSet = func(_ context.Context, rec *tokenstore.Record) error {
			if rec.Dead != nil || rec.Refused != nil {
				login()
			}
			return nil
		}
	},
	"just after the verdict is saved": func(s *faultyStore, _ *refresh.Config, login func() bool) {
		s.afterOK = func(rec *tokenstore.Record) error {
			if rec.Dead != nil || rec.Refused != nil {
				login()
			}
			return nil
		}
	},
	"as the verdict cannot be saved": func(s *faultyStore, _ *refresh.Config, login func() bool) {
		s.onSet = func(_ context.Context, rec *tokenstore.Record) error {
			if rec.Dead != nil || rec.Refused != nil {
				if login() {
					return errDiskFull
				}
			}
			return nil
		}
	},
	"as the verdict is told": func(_ *faultyStore, cfg *refresh.Config, login func() bool) {
		next := cfg.OnEvent
		cfg.OnEvent = func(e refresh.Event) {
			next(e)
			if e.Kind == refresh.EventLoginRequired || e.Kind == refresh.EventSuspected {
				login()
			}
		}
	},
}

// refusals are what the old grant ends by.
var refusals = map[string]struct {
	fault oauthtest.Fault
	after time.Duration // it is told
}{
	"by the server's word":  {oauthtest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`}, 0},
	"by refusals that last": {oauthtest.Fault{Status: http.StatusForbidden, Body: `{"error":"forbidden"}`}, 3 * time.Hour},
}

// logins are who saves the new one.
var logins = map[string]func(t *testing.T, f *fixture, s *faultyStore, pair *oauth.TokenPair){
	"another process": func(t *testing.T, f *fixture, s *faultyStore, pair *oauth.TokenPair) {
		rec := &tokenstore.Record{Tokens: pair}
		if stored, err := s.Store.Get(context.Background(), "default"); err == nil {
			rec.Version = stored.Version
		}
		if _, err := s.Store.Set(context.Background(), "default", rec); err != nil {
			t.Error(err)
		}
	},
	"the program": func(t *testing.T, f *fixture, s *faultyStore, pair *oauth.TokenPair) {
		go func() {
			if err := f.UpdateTokens(pair); err != nil && !errors.Is(err, refresh.ErrUnsaved) {
				t.Error(err)
			}
		}()
		time.Sleep(time.Millisecond) // it waits for the session now
	},
}

// suspects reports whether another refusal makes the session a suspected one.
func (s *faultyStore) suspects() bool {
	rec, err := s.Store.Get(context.Background(), "default")
	if err != nil || rec.Refused == nil {
		return false
	}
	return rec.Refused.Count >= 2 && time.Since(rec.Refused.At) > 10*minute && !time.Now().Before(rec.Tokens.ExpiresAt)
}

func TestOnRefreshFailIsNotToldOfAGrantThatALoginHasReplaced(t *testing.T) {
	for who, save := range logins {
		for why, refusal := range refusals {
			for when, hook := range moments {
				t.Run(who+", "+when+", "+why, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s, told := newFaultyStore(), new(failures)
						var begun atomic.Pointer[fixture]
						var pair atomic.Pointer[oauth.TokenPair]
						var once sync.Once
						login := func() bool { // whether it is there
							f := begun.Load()
							if f == nil || refusal.after > 0 && pair.Load() == nil && !s.suspects() {
								return false
							}
							once.Do(func() {
								login, err := f.server.Login("alice")
								if err != nil {
									t.Error(err)
									return
								}
								pair.Store(login)
								f.server.ClearScript() // the new grant is good
								save(t, f, s, login)
							})
							return pair.Load() != nil
						}
						f := newFixture(t, oauthtest.Config{}, s.use, told.use, func(cfg *refresh.Config) { hook(s, cfg, login) }).start(t)
						synctest.Wait()
						begun.Store(f)
						f.server.Script(forEver(refusal.fault))
						_ = f.ForceRefresh(t.Context())
						time.Sleep(refusal.after + 2*minute)
						if pair.Load() == nil {
							t.Fatal("it does not come to that")
						}
						if heard := told.heard(); len(heard) != 0 {
							t.Errorf("OnRefreshFail heard of the old grant: %v", heard)
						}
						f.inState(t, refresh.StateValid)
						s.edit(func(s *faultyStore) { s.onSet, s.afterOK = nil, nil })
						if _, err := f.TokenContext(t.Context()); err != nil {
							t.Error(err)
						}
						f.clean(t)
					})
				})
			}
		}
	}
}

// It is told, once, if there is no login, also where the verdict could not be saved or
// the Store cannot be read any more.
func TestOnRefreshFailIsToldWithoutALogin(t *testing.T) {
	for name, trouble := range map[string]func(s *faultyStore){
		"all is well": func(*faultyStore) {},
		"the verdict cannot be saved": func(s *faultyStore) {
			s.onSet = func(_ context.Context, rec *tokenstore.Record) error {
				if rec.Dead != nil {
					return errDiskFull
				}
				return nil
			}
		},
		"the Store goes away after the verdict": func(s *faultyStore) {
			s.afterOK = func(rec *tokenstore.Record) error {
				if rec.Dead != nil {
					go s.edit(func(s *faultyStore) { s.onGet = func(context.Context) error { return errDisk } })
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, told := newFaultyStore(), new(failures)
				f := newFixture(t, oauthtest.Config{}, s.use, told.use).start(t)
				synctest.Wait()
				s.edit(trouble)
				f.server.Script(oauthtest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`})
				is(t, f.ForceRefresh(t.Context()), oauth.ErrLoginRequired)
				time.Sleep(2 * minute)
				if heard := told.heard(); len(heard) != 1 {
					t.Errorf("OnRefreshFail heard %v; want it to hear once", heard)
				}
			})
		})
	}
}
