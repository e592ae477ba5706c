package refresh_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A removable is a File store whose directory can be away.
type removable struct {
	*tokenstore.File
	dir string
}

func newRemovable(t *testing.T) *removable {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a directory with an open file cannot be moved")
	}
	dir := filepath.Join(t.TempDir(), "sessions")
	file, err := tokenstore.NewFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	return &removable{file, dir}
}

func (r *removable) use(cfg *refresh.Config) { cfg.Store = r }

// away takes the directory away, and leaves an empty one in its place if hollow. It
// returns how it comes back.
func (r *removable) away(t *testing.T, hollow bool) (back func()) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Rename(r.dir, r.dir+".away"))
	if hollow {
		must(os.Mkdir(r.dir, 0o700))
	}
	return func() {
		t.Helper()
		if hollow {
			must(os.RemoveAll(r.dir))
		}
		must(os.Rename(r.dir+".away", r.dir))
	}
}

// However long the directory is away, and whatever is due meanwhile: the session goes on.
func TestF77_ADirectoryThatIsAwayIsNoLogout(t *testing.T) {
	for name, tt := range map[string]struct {
		hollow bool
		away   time.Duration
	}{
		"for some minutes":                        {false, 3 * minute},
		"for some minutes, and an empty one":      {true, 3 * minute},
		"beyond a renewal":                        {false, 12 * minute},
		"beyond a renewal, and an empty one":      {true, 12 * minute},
		"beyond the token's end":                  {false, 2 * time.Hour},
		"beyond the token's end, an empty one":    {true, 2 * time.Hour},
		"for a moment in which a caller forces":   {false, 0},
		"for a moment, an empty one in its place": {true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, told := newRemovable(t), new(failures)
				f := newFixture(t, oauthtest.Config{}, store.use, told.use).start(t)
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				mine := f.GetTokens()
				back := store.away(t, tt.hollow)
				if tt.away == 0 {
					_ = f.ForceRefresh(t.Context())
				}
				time.Sleep(tt.away)
				if tt.away < 15*minute {
					f.serve(t, f.GetTokens())
				}
				back()
				time.Sleep(2 * minute)
				if f.GetTokens() == nil {
					t.Fatal("the pair in memory is forgotten")
				}
				f.inState(t, refresh.StateValid)
				if tt.away < 5*minute && tt.away > 0 {
					f.serve(t, mine)
				}
				if err := f.ForceRefresh(t.Context()); err != nil {
					t.Error(err)
				}
				if f.saved(t).RefreshToken != f.GetTokens().RefreshToken {
					t.Error("what is saved is not what is served")
				}
				if n := f.events.count(refresh.EventLoggedOut); n != 0 || len(told.heard()) != 0 {
					t.Errorf("%d logouts, failures %v; want none", n, told.heard())
				}
				f.clean(t)
			})
		})
	}
}

// The directory goes while the server answers: what comes back is saved when it can be.
func TestF77_ADirectoryThatGoesDuringARefresh(t *testing.T) {
	for name, hollow := range map[string]bool{"away": false, "an empty one in its place": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newRemovable(t)
				f := newFixture(t, oauthtest.Config{}, store.use).start(t)
				f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
				done := make(chan error)
				go func() { done <- f.ForceRefresh(t.Context()) }()
				time.Sleep(time.Second)
				back := store.away(t, hollow)
				if err := <-done; err != nil {
					t.Errorf("a pair that cannot be saved is not a failed refresh: %v", err)
				}
				renewed := f.GetTokens()
				if renewed == nil || renewed.AccessToken == f.first.AccessToken || !f.GetRefreshStatus().Unsaved {
					t.Fatalf("%v, status %+v; want the new pair, unsaved", renewed, f.GetRefreshStatus())
				}
				time.Sleep(3 * minute)
				f.serve(t, renewed)
				back()
				time.Sleep(2 * minute)
				if f.saved(t).RefreshToken != renewed.RefreshToken {
					t.Error("the new pair is not saved two minutes after the directory is back")
				}
				f.inState(t, refresh.StateValid)
				f.clean(t)
			})
		})
	}
}

// The directory is replaced by a copy of itself while the server answers: the lock of the copy is
// free, and the process that waits for the answer saves it there.
func TestF76_ADirectoryReplacedByItsCopyDuringARefresh(t *testing.T) {
	for name, short := range map[string]bool{"a daemon finds it": false, "a command finds it": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newRemovable(t)
				use := func(cfg *refresh.Config) {
					file, err := tokenstore.NewFile(store.dir)
					if err != nil {
						t.Fatal(err)
					}
					cfg.Store = file
				}
				f := newFixture(t, oauthtest.Config{}, use).start(t)
				time.Sleep(2 * time.Hour) // without callers it is renewed all the same
				f.server.Script(oauthtest.Fault{Delay: 5 * time.Second})
				done := make(chan error)
				go func() { done <- f.ForceRefresh(t.Context()) }()
				time.Sleep(time.Second)
				_ = store.away(t, false)
				if err := os.CopyFS(store.dir, os.DirFS(store.dir+".away")); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(store.dir, 0o700); err != nil {
					t.Fatal(err)
				}
				other := f.sibling(t, use, func(cfg *refresh.Config) { cfg.ShortLived = short }).resume(t)
				if err := other.ForceRefresh(t.Context()); err != nil && !errors.Is(err, oauth.ErrTransient) {
					t.Error(err)
				}
				other.Stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
				f.clean(t)
			})
		})
	}
}

// A logout that happens in another process while this one cannot look stays one.
func TestF77_ALogoutBeforeTheDirectoryIsBackIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newRemovable(t)
		f := newFixture(t, oauthtest.Config{}, store.use).start(t)
		synctest.Wait()
		version := f.record(t).Version
		back := store.away(t, false)
		time.Sleep(2 * minute)
		back()
		if err := store.Delete(t.Context(), "default", version); err != nil {
			t.Fatal(err)
		}
		time.Sleep(minute + time.Second)
		f.inState(t, refresh.StateLoggedOut)
		f.clean(t)
	})
}

func TestF77_StopWhileTheDirectoryIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newRemovable(t)
		f := newFixture(t, oauthtest.Config{}, store.use).start(t)
		synctest.Wait()
		back := store.away(t, false)
		time.Sleep(2 * minute)
		f.Stop()
		if err := f.Start(t.Context(), nil); err == nil {
			t.Error("it starts without having read the session")
		}
		back()
		f.resume(t)
		f.serve(t, f.first)
		f.clean(t)
	})
}

// A login while the directory is away is in use, and is saved when it is back.
func TestF77_ALoginWhileTheDirectoryIsAway(t *testing.T) {
	for name, hollow := range map[string]bool{"away": false, "an empty one in its place": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newRemovable(t)
				f := newFixture(t, oauthtest.Config{}, store.use).start(t)
				synctest.Wait()
				back := store.away(t, hollow)
				time.Sleep(minute)
				login, err := f.server.Login("alice")
				if err != nil {
					t.Fatal(err)
				}
				is(t, f.UpdateTokens(login), refresh.ErrUnsaved)
				f.serve(t, login)
				back()
				time.Sleep(2 * minute)
				f.serve(t, login)
				if f.saved(t).RefreshToken != login.RefreshToken {
					t.Error("the login is not saved")
				}
				f.clean(t)
			})
		})
	}
}
