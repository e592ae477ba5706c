package refresh_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"net/http"
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

// The API of this package, with its names, comes from a design that lost
// sessions. Each test here is named after one of its faults and shows it fixed.

func TestSeedFault_TwoRefreshesRacing_TimerAndForceRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: 20 * time.Second, Times: -1})
		time.Sleep(time.Until(f.GetRefreshStatus().RefreshAt) + time.Second)
		if n := f.events.count(refresh.EventRefreshing); n != 1 {
			t.Fatalf("the timer began %d refreshes; want 1", n)
		}
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Errorf("ForceRefresh: %v", err)
				}
				if f.GetTokens().AccessToken == f.first.AccessToken {
					t.Error("ForceRefresh returned before there was a new token")
				}
			})
		}
		callers.Wait()
		if n := f.tokenRequests(); n != 1 {
			t.Errorf("timer and ForceRefresh sent %d requests; want 1", n)
		}
		f.clean(t)
	})
}

// If the shared refresh fails, its callers must not try one after the other.
func TestSeedFault_TwoRefreshesRacing_FailureIsSharedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Delay: 5 * time.Second, Status: http.StatusServiceUnavailable, Times: -1})
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				if err := f.ForceRefresh(t.Context()); !errors.Is(err, oauth.ErrTransient) {
					t.Errorf("ForceRefresh: %v; want the failure", err)
				}
			})
		}
		callers.Wait()
		if n := f.tokenRequests(); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}
		f.clean(t)
	})
}

func TestSeedFault_RefreshTokenLostWhenTheAnswerOmitsIt(t *testing.T) {
	for name, edit := range map[string]func(*refresh.Config){
		"oauth.Client": func(*refresh.Config) {},
		// A Refresher that forgets what its server omits.
		"forgetful Refresher": func(cfg *refresh.Config) {
			client := cfg.OAuthClient
			cfg.OAuthClient = refresh.RefresherFunc(func(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
				next, err := client.Refresh(ctx, t)
				if err == nil {
					next.RefreshToken, next.Scope, next.IDToken = "", "", ""
				}
				return next, err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var handed []string
				f := newFixture(t, oauthtest.Config{NoRotation: true}, edit, func(cfg *refresh.Config) {
					cfg.TokenStore = func(_ context.Context, t *oauth.TokenPair) error {
						handed = append(handed, t.RefreshToken)
						return nil
					}
				}).start(t)
				time.Sleep(time.Hour)
				synctest.Wait()
				if n := f.server.Refreshes(); n < 5 {
					t.Errorf("%d refreshes in an hour; want the session to go on", n)
				}
				for _, got := range append(handed, f.GetTokens().RefreshToken, f.saved(t).RefreshToken) {
					if got != f.first.RefreshToken {
						t.Error("the refresh token was lost")
					}
				}
				if len(handed) < 5 || f.GetTokens().Scope != f.first.Scope || f.GetTokens().IDToken == "" {
					t.Error("scope or ID token was lost, or nothing was saved")
				}
				f.clean(t)
			})
		})
	}
}

func TestSeedFault_ExpiryCountedFromStartInsteadOfFromIssue(t *testing.T) {
	for name, edit := range map[string]func(*oauth.TokenPair){
		"all times known":         func(*oauth.TokenPair) {},
		"ExpiresIn and IssuedAt":  func(p *oauth.TokenPair) { p.ExpiresAt = time.Time{} },
		"ExpiresIn and ExpiresAt": func(p *oauth.TokenPair) { p.IssuedAt = time.Time{} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{})
				end := f.first.ExpiresAt
				edit(f.first)
				time.Sleep(9 * minute) // between the login and this run
				f.start(t)
				if got := f.GetExpiresAt(); !got.Equal(end) {
					t.Errorf("expires %v; want %v, as the server said", got, end)
				}
				time.Sleep(minute + time.Second)
				if n := f.server.Refreshes(); n != 1 {
					t.Errorf("%d refreshes ten minutes after the issue; want 1", n)
				}
				f.served(t)
				f.clean(t)
			})
		})
	}
}

// RFC 6749 counts from when the answer was generated, which the client cannot
// know better than by when it asked.
func TestSeedFault_ExpiryCountedFromTheAnswerInsteadOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{AfterCommit: true, Delay: 20 * time.Second})
		asked := time.Now()
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := f.GetExpiresAt(), asked.Add(oauthtest.DefaultAccessTokenLifetime); !got.Equal(want) {
			t.Errorf("expires %v; want %v", got, want)
		}
		f.clean(t)
	})
}

func TestSeedFault_SecondStartAfterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		for round := 1; round <= 3; round++ {
			if err := f.Start(t.Context(), f.first); err != nil {
				t.Fatalf("start %d: %v", round, err)
			}
			if err := f.Start(t.Context(), f.first); !errors.Is(err, refresh.ErrRunning) {
				t.Errorf("start of a running manager: %v; want ErrRunning", err)
			}
			time.Sleep(11 * minute)
			if n := f.server.Refreshes(); n != round || !f.IsRunning() {
				t.Errorf("%d refreshes in round %d, running: %v; want one a round", n, round, f.IsRunning())
			}
			f.Stop()
			f.Stop()
			if f.IsRunning() {
				t.Error("running after Stop")
			}
			time.Sleep(minute)
			if n := f.server.Refreshes(); n != round {
				t.Errorf("%d refreshes; want none while stopped", n)
			}
		}
		f.clean(t)
	})
}

func TestSeedFault_IsRunningAfterTheContextEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := f.Start(ctx, f.first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		if !f.IsRunning() || !f.GetRefreshStatus().IsRunning {
			t.Error("not running before the context ended")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if f.IsRunning() || f.GetRefreshStatus().IsRunning {
			t.Error("running after the context ended")
		}
		if err := f.ForceRefresh(t.Context()); err != nil || f.IsRunning() {
			t.Errorf("ForceRefresh: %v, running %v; want one refresh of a stopped manager", err, f.IsRunning())
		}
		if err := f.Start(t.Context(), f.first); err != nil {
			t.Errorf("starting again: %v", err)
		}
		f.clean(t)
	})
}

// The end of the context is told at once, although a refresh under way is
// followed through.
func TestSeedFault_IsRunningAfterTheContextEnded_RefreshUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		if err := f.Start(ctx, f.first); err != nil {
			t.Fatal(err)
		}
		f.server.Script(oauthtest.Fault{Delay: 20 * time.Second})
		time.AfterFunc(time.Second, cancel)
		go func() { _ = f.ForceRefresh(t.Context()) }()
		time.Sleep(2 * time.Second)
		if f.IsRunning() || f.GetRefreshStatus().IsRunning {
			t.Error("running after the context ended")
		}
		if err := f.ForceRefresh(t.Context()); err != nil || f.server.Refreshes() != 1 {
			t.Errorf("ForceRefresh: %v, %d refreshes; want the one under way", err, f.server.Refreshes())
		}
		time.Sleep(minute)
		if f.saved(t).AccessToken == f.first.AccessToken {
			t.Error("the refresh under way was not followed through")
		}
		f.clean(t)
	})
}

// A slowStore takes its time to write and tells when it begins to save a pair.
type slowStore struct {
	tokenstore.Memory
	saving func(*tokenstore.Record)
}

func (s *slowStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	s.saving(rec)
	time.Sleep(2 * time.Second)
	return s.Memory.Set(ctx, name, rec)
}

func TestSeedFault_StoringAfterShowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f *fixture
		saves := 0
		// Whatever is about to be saved must not have been seen by anybody.
		notShown := func(access string) {
			if pair := f.GetTokens(); pair != nil && pair.AccessToken == access && access != f.first.AccessToken {
				t.Error("a pair was shown before it was saved")
			}
			saves++
		}
		f = newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.Store = &slowStore{saving: func(rec *tokenstore.Record) { notShown(rec.Tokens.AccessToken) }}
			cfg.TokenStore = func(_ context.Context, pair *oauth.TokenPair) error {
				notShown(pair.AccessToken)
				time.Sleep(2 * time.Second)
				notShown(pair.AccessToken)
				return nil
			}
		})
		f.first.IssuedAt, f.first.ExpiresAt = f.first.IssuedAt.Add(-time.Hour), f.first.IssuedAt // dead
		f.start(t)
		pair, err := f.TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if f.saved(t).AccessToken != pair.AccessToken || saves < 3 {
			t.Error("the caller has a token that is not saved")
		}
		f.clean(t)
	})
}

func TestSeedFault_PrintingToStdout(t *testing.T) {
	printed, err := os.Create(filepath.Join(t.TempDir(), "printed"))
	if err != nil {
		t.Fatal(err)
	}
	defer printed.Close()
	stdout, stderr, logged := os.Stdout, os.Stderr, log.Writer()
	os.Stdout, os.Stderr = printed, printed
	log.SetOutput(printed)
	defer func() {
		os.Stdout, os.Stderr = stdout, stderr
		log.SetOutput(logged)
	}()

	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.OnRefreshFail = func(error) bool { return false }
			cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { return errDisk }
		}).start(t)
		f.server.Script(oauthtest.Fault{Status: http.StatusBadGateway}, oauthtest.Fault{CutBody: true}, oauthtest.Fault{})
		time.Sleep(time.Hour)
		f.server.RevokeAll("alice")
		time.Sleep(time.Hour)
		f.Stop()
		if f.GetRefreshStatus().State != refresh.StateLoginRequired {
			t.Error("the session did not end")
		}
	})
	if content, err := os.ReadFile(printed.Name()); err != nil || len(content) != 0 {
		t.Errorf("printed %q, %v; want nothing", content, err)
	}
}

// What no test reaches must not print either.
func TestSeedFault_PrintingToStdout_NotInTheSource(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	printers := map[string]bool{
		"fmt.Print": true, "fmt.Printf": true, "fmt.Println": true, "os.Stdout": true, "os.Stderr": true, "slog.Default": true,
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && printers[pkg.Name+"."+n.Sel.Name] {
					t.Errorf("%v: %s.%s", fset.Position(n.Pos()), pkg.Name, n.Sel.Name)
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "print" || f.Name == "println") {
					t.Errorf("%v: %s", fset.Position(n.Pos()), f.Name)
				}
			case *ast.ImportSpec:
				if n.Path.Value == `"log"` {
					t.Errorf("%v: package log", fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

func TestSeedFault_CallbackStormEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails, saves := 0, 0
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.OnRefreshFail = func(error) bool { fails++; return false }
			cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { saves++; return nil }
		}).start(t)
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := saves
		time.Sleep(time.Second)
		if f.server.Script(oauthtest.Fault{Status: http.StatusServiceUnavailable, Times: -1}); fails != 0 {
			t.Error("called without a reason")
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if fails != 0 || saves != before {
			t.Errorf("an outage of three hours: OnRefreshFail called %d times, TokenStore %d; want neither", fails, saves-before)
		}
		f.server.ClearScript()
		f.server.RevokeAll("alice")
		requests := f.tokenRequests()
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if fails != 1 || saves != before {
			t.Errorf("a dead grant: OnRefreshFail called %d times in six hours, TokenStore %d; want once and never", fails, saves-before)
		}
		if n := f.tokenRequests() - requests; n != 1 {
			t.Errorf("%d requests with a dead refresh token; want 1", n)
		}
		f.clean(t)
	})
}

func TestSeedFault_TokenShorterThanTheThresholdRefreshedInALoop(t *testing.T) {
	for name, edit := range map[string]func(*refresh.Config){
		"default threshold": func(*refresh.Config) {},
		"absurd threshold":  func(cfg *refresh.Config) { cfg.RefreshThreshold = 1000 * time.Hour },
		"no threshold":      func(cfg *refresh.Config) { cfg.RefreshThreshold = time.Nanosecond },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 2 * minute}, edit).start(t)
				time.Sleep(time.Hour)
				if n := f.server.Refreshes(); n < 30 || n > 60 {
					t.Errorf("%d refreshes of two-minute tokens in an hour; want one or two for each", n)
				}
				f.mustCall(t)
				f.clean(t)
			})
		})
	}
}

func TestThresholdBelowTheMinimumIsRaised(t *testing.T) {
	for threshold, want := range map[time.Duration]time.Duration{
		0: refresh.DefaultRefreshThreshold, time.Nanosecond: refresh.MinRefreshThreshold, -time.Hour: refresh.MinRefreshThreshold,
		10 * minute: 10 * minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{AccessTokenLifetime: 10 * time.Hour}, func(cfg *refresh.Config) { cfg.RefreshThreshold = threshold }).start(t)
			if lead := f.GetExpiresAt().Sub(f.GetRefreshStatus().RefreshAt); lead < want || lead > want+want/10 {
				t.Errorf("threshold %v: due %v before the end; want %v", threshold, lead, want)
			}
		})
	}
}
