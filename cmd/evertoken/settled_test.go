//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// A dyingStore ends the login that saves a session in it.
type dyingStore struct {
	stores.Backend
	dies string
}

var errDied = errors.New("the process has died")

func (s dyingStore) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if s.dies == "before the tokens" {
		panic(errDied)
	}
	version, err := s.Backend.Set(ctx, name, rec)
	if s.dies == "after the tokens" && err == nil {
		panic(errDied)
	}
	return version, err
}

// dyingLogin logs in with other settings than the profile has, and dies at some point of saving
// that. It returns the access token of the login.
func (d *desk) dyingLogin(dies string, change func(p *profile.Profile)) (accessToken string) {
	d.t.Helper()
	old, err := d.loadProfile()
	d.ok(err)
	p := *old
	change(&p)
	store, err := d.openStore(d.t.Context(), &p)
	d.ok(err)
	store.Backend = dyingStore{store.Backend, dies}
	pair, err := d.server.Login("alice")
	d.ok(err)
	defer func() {
		if died := recover(); died != nil && died != any(errDied) {
			panic(died)
		}
	}()
	accessToken = pair.AccessToken
	_, err = d.saveLogin(d.t.Context(), store, old, &p, pair)
	d.ok(err)
	return accessToken
}

// savedAccessToken is what the store has.
func (d *desk) savedAccessToken() string {
	d.t.Helper()
	p, err := d.loadProfile()
	d.ok(err)
	store, err := d.openBackend(d.t.Context(), p.Kind(), "")
	d.ok(err)
	rec, err := store.Get(d.t.Context(), d.Profile)
	d.ok(err)
	return rec.Tokens.AccessToken
}

// Wherever a login with other settings ends, the next command works with the old session or the
// new one, and the settings are those of its tokens.
func TestALoginThatDiesLeavesTheOldSessionOrTheNew(t *testing.T) {
	changes := map[string]func(p *profile.Profile){
		"more scopes":   func(p *profile.Profile) { p.Scopes = []string{"openid", "email"} },
		"an API":        func(p *profile.Profile) { p.APIs = []string{"https://api.example.com"} },
		"a redirection": func(p *profile.Profile) { p.RedirectURL = "http://127.0.0.1:1/cb" },
	}
	for _, kind := range []string{profile.InFiles, profile.InKeyring} {
		for _, dies := range []string{"before the tokens", "after the tokens", "never"} {
			for what, change := range changes {
				t.Run(fmt.Sprintf("%s, %s, %s", kind, dies, what), func(t *testing.T) {
					d := newDesk(t)
					d.mustLogin(kind)
					before := d.savedAccessToken()
					old, err := d.loadProfile()
					d.ok(err)
					latest := d.dyingLogin(dies, change)
					want, settings := latest, *old
					if dies == "before the tokens" {
						want = before
					} else {
						change(&settings)
					}
					for _, command := range []func() error{
						func() error { return (&tokenCmd{}).Run(t.Context(), d.app) },
						func() error { return (&statusCmd{}).Run(t.Context(), d.app) },
					} {
						d.stderr.Reset()
						if code := d.report(command()); code != 0 {
							t.Errorf("exit code %d: %s", code, d.stderr.String())
						}
					}
					if got := d.savedAccessToken(); got != want {
						t.Errorf("the access token is another one than expected (of the old session: %v)", got == before)
					}
					if p, err := d.loadProfile(); err != nil || p.Fingerprint() != settings.Fingerprint() {
						t.Errorf("the profile is %+v, %v; want %+v", p, err, settings)
					}
					if left, _ := filepath.Glob(filepath.Join(d.Dir, "profiles", "*.new*")); len(left) != 0 {
						t.Errorf("left behind: %q", left)
					}
					d.refreshes()
				})
			}
		}
	}
}

// The next command may be a login, which names nothing.
func TestALoginAfterOneThatDiedGoesOnWithItsSettings(t *testing.T) {
	for _, dies := range []string{"before the tokens", "after the tokens"} {
		d := newDesk(t)
		d.mustLogin(profile.InFiles)
		d.dyingLogin(dies, func(p *profile.Profile) { p.Scopes = []string{"openid", "email"} })
		d.stderr.Reset()
		c := &loginCmd{Timeout: time.Minute}
		if code := d.report(c.Run(t.Context(), d.app)); code != 0 || strings.Contains(d.stderr.String(), "warning") {
			t.Errorf("%s: exit code %d: %s", dies, code, d.stderr.String())
		}
		p, err := d.loadProfile()
		d.ok(err)
		if got := strings.Contains(strings.Join(p.Scopes, " "), "email"); got != (dies == "after the tokens") {
			t.Errorf("%s: the profile asks for %q", dies, p.Scopes)
		}
		d.refreshes()
	}
}

// A login that is under way has the lock. What it has written so far is left alone.
func TestSettingsOfALoginUnderWayAreLeftAlone(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InFiles)
	file, err := d.file()
	d.ok(err)
	next, err := d.loadProfile()
	d.ok(err)
	next.Scopes = []string{"email"}
	d.ok(file.SaveNext(next))
	store, err := tokenstore.NewFile(d.Dir)
	d.ok(err)
	lease, err := store.Lock(t.Context(), d.Profile)
	d.ok(err)
	if code := d.report((&statusCmd{}).Run(t.Context(), d.app)); code != 0 || !file.HasNext() {
		t.Errorf("exit code %d: %s; its settings are there: %v", code, d.stderr.String(), file.HasNext())
	}
	d.ok(lease.Unlock())
	if code := d.report((&statusCmd{}).Run(t.Context(), d.app)); code != 0 || file.HasNext() {
		t.Errorf("afterwards: exit code %d: %s; its settings are there: %v", code, d.stderr.String(), file.HasNext())
	}
}

// What lies in the place of the new settings is found out before a person logs in.
func TestWhatIsInTheWayOfNewSettingsIsSaidBeforeTheLogin(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InFiles)
	path, err := d.profilePath()
	d.ok(err)
	d.ok(os.Mkdir(path+".new", 0o700))
	logins := d.server.Requests(oauthtest.AuthorizeEndpoint)
	if code, said := d.login(profile.InFiles); code == 0 || !strings.Contains(said, "move it away") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if n := d.server.Requests(oauthtest.AuthorizeEndpoint) - logins; n != 0 {
		t.Errorf("%d requests for a login; want none", n)
	}
}
