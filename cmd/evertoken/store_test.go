//go:build unix

package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

// A fakeKeyring is a keyring that a test controls.
type fakeKeyring struct {
	key    tokenstore.Key
	err    error // of opening it
	full   error // of saving a session
	late   error // of saving one, which no check can foresee
	locked error // of locking one
	opened int
}

// sealedFiles is what it opens.
type sealedFiles struct {
	*tokenstore.Sealed
	dir                string
	full, late, locked error
}

func (s sealedFiles) Dir() string { return s.dir }

func (s sealedFiles) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if err := cmp.Or(s.full, s.late); err != nil {
		return 0, err
	}
	return s.Sealed.Set(ctx, name, rec)
}

func (s sealedFiles) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	if s.locked != nil {
		return nil, s.locked
	}
	return s.Sealed.Lock(ctx, name)
}

func (s sealedFiles) Check(context.Context, string) error { return cmp.Or(s.locked, s.full) }

func (k *fakeKeyring) open(_ context.Context, dir string) (stores.Backend, error) {
	k.opened++
	if k.err != nil {
		return nil, k.err
	}
	file, err := tokenstore.NewFile(dir)
	if err != nil {
		return nil, err
	}
	return sealedFiles{tokenstore.NewSealed(file, tokenstore.Keys(k.key)), dir, k.full, k.late, k.locked}, nil
}

// A desk is a person at a machine with a keyring, and a server to log in to.
type desk struct {
	*app
	t       *testing.T
	server  *oauthtest.Server
	keyring *fakeKeyring
	stderr  strings.Builder
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, app: testApp(t), keyring: &fakeKeyring{key: tokenstore.NewKey()}}
	d.app.openKeyring, d.app.stderr, d.closeLimit = d.keyring.open, &d.stderr, closeLimit
	d.server = oauthtest.NewServer(oauthtest.Config{Users: map[string]string{"alice": "wonderland"}})
	t.Cleanup(d.server.Close)
	hand := httptest.NewServer(person(d.server))
	t.Cleanup(hand.Close)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	browser := filepath.Join(t.TempDir(), "browser") // the name that TestMain knows it by
	if err := os.Symlink(self, browser); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BROWSER", browser)
	t.Setenv("PERSON", hand.URL)
	t.Setenv("LOGIN_AS", "alice")
	return d
}

// login logs in, and returns the exit code and what was said.
func (d *desk) login(store string) (code int, said string) {
	d.t.Helper()
	d.stderr.Reset()
	c := &loginCmd{Issuer: d.server.Issuer(), ClientID: oauthtest.DefaultClientID, Store: store, Timeout: time.Minute}
	code = d.report(c.Run(d.t.Context(), d.app))
	return code, d.stderr.String()
}

func (d *desk) mustLogin(store string) (said string) {
	d.t.Helper()
	code, said := d.login(store)
	if code != exit.OK {
		d.t.Fatalf("login --store %s: exit code %d: %s", store, code, said)
	}
	return said
}

// refreshes requires that the session can be renewed.
func (d *desk) refreshes() {
	d.t.Helper()
	d.stderr.Reset()
	if code := d.report(refreshCmd{}.Run(d.t.Context(), d.app)); code != exit.OK {
		d.t.Errorf("refresh: exit code %d: %s", code, d.stderr.String())
	}
}

// only requires that the session is in one store and not in the other.
func (d *desk) only(kind string) {
	d.t.Helper()
	if !exists(d.sessionFile(kind)) || exists(d.sessionFile(stores.Other(kind))) {
		d.t.Errorf("session is in the %s: %v, in the %s: %v; want it in the %[1]s only",
			kind, exists(d.sessionFile(kind)), stores.Other(kind), exists(d.sessionFile(stores.Other(kind))))
	}
	if p, err := d.loadProfile(); err != nil || p.Kind() != kind {
		d.t.Errorf("the profile says %+v (%v); want store %s", p, err, kind)
	}
	if got := d.server.Sessions("alice"); got != 1 {
		d.t.Errorf("%d sessions at the server; want 1", got)
	}
}

// sessionFile returns the path of the session in a store.
func (d *desk) sessionFile(kind string) string {
	return filepath.Join(stores.Dir(d.Dir, kind), d.Profile+".json")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestF24_LoginToTheOtherStoreRemovesTheOldCopy(t *testing.T) {
	for _, from := range []string{profile.InKeyring, profile.InFiles} {
		t.Run(from, func(t *testing.T) {
			d := newDesk(t)
			d.mustLogin(from)
			d.only(from)
			d.refreshes()
			said := d.mustLogin(stores.Other(from))
			if !strings.Contains(said, "The old session was ended.") {
				t.Errorf("login said %q; want that the old session, from the other store, was ended", said)
			}
			d.only(stores.Other(from))
			d.refreshes()
		})
	}
}

func TestF24_ACopyLeftBehindIsRemovedByTheNextLogin(t *testing.T) {
	for _, kind := range []string{profile.InKeyring, profile.InFiles} {
		t.Run(kind, func(t *testing.T) {
			d := newDesk(t)
			d.mustLogin(stores.Other(kind))
			left, err := os.ReadFile(d.sessionFile(stores.Other(kind)))
			if err != nil {
				t.Fatal(err)
			}
			d.mustLogin(kind)
			// As after a crash before the old copy was removed.
			if err := os.WriteFile(d.sessionFile(stores.Other(kind)), left, 0o600); err != nil {
				t.Fatal(err)
			}
			if said := d.mustLogin(""); !strings.Contains(said, "The old session was ended.") {
				t.Errorf("login said %q; want that the session of the profile was ended, not the copy", said)
			}
			d.only(kind)
			d.refreshes()
		})
	}
}

func TestF24_ALoginThatCannotBeSavedThereLeavesTheOldCopy(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InFiles)
	d.keyring.late = errors.New("no room")
	code, said := d.login(profile.InKeyring)
	if code != exit.Failed || !strings.Contains(said, "the login worked, but could not be saved") {
		t.Errorf("exit code %d, said %q", code, said)
	}
	if p, err := d.loadProfile(); err != nil || p.Kind() != profile.InFiles {
		t.Errorf("the profile says %+v (%v); want store %s as before", p, err, profile.InFiles)
	}
	d.refreshes()
}

func TestF24_TheSessionThatIsEndedIsTheProfilesNotACopy(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InFiles)
	left, err := os.ReadFile(d.sessionFile(profile.InFiles))
	if err != nil {
		t.Fatal(err)
	}
	d.mustLogin(profile.InKeyring)
	if err := os.WriteFile(d.sessionFile(profile.InFiles), left, 0o600); err != nil {
		t.Fatal(err)
	}
	d.mustLogin(profile.InFiles)
	d.only(profile.InFiles)
}

func TestF24_ALoginElsewhereWaitsForARenewalOfTheOldCopy(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InFiles)
	before := d.server.Requests(oauthtest.TokenEndpoint)
	d.server.Script(oauthtest.Fault{Delay: 300 * time.Millisecond, AfterCommit: true})
	other := *d.app
	other.stderr = io.Discard
	renewed := make(chan error, 1)
	go func() { renewed <- refreshCmd{}.Run(t.Context(), &other) }()
	if err := d.server.AwaitRequests(t.Context(), oauthtest.TokenEndpoint, before+1); err != nil {
		t.Fatal(err)
	}
	d.mustLogin(profile.InKeyring)
	if err := <-renewed; err != nil {
		t.Errorf("the renewal under way failed: %v", err)
	}
	d.only(profile.InKeyring)
	d.refreshes()
}

func TestADamagedCopyIsToldOfOnce(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InKeyring)
	if err := os.WriteFile(d.sessionFile(profile.InFiles), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := d.mustLogin(""); !strings.Contains(said, "warning: an old copy of the tokens may be left") || !strings.Contains(said, "damaged") {
		t.Errorf("login said %q; want a warning about the copy", said)
	}
	if said := d.mustLogin(""); strings.Contains(said, "warning") {
		t.Errorf("the next login said %q; want no warning", said)
	}
}

func TestTheKeyringIsOpenedBeforeTheBrowser(t *testing.T) {
	for want, err := range map[int]error{exit.Config: keyring.ErrNoKeyring, exit.Temporary: keyring.ErrKeyringLocked} {
		d := newDesk(t)
		d.keyring.err = err
		if code, said := d.login(""); code != want {
			t.Errorf("%v: exit code %d, said %q; want %d", err, code, said, want)
		}
		if n := d.server.Requests(oauthtest.AuthorizeEndpoint); n != 0 {
			t.Errorf("%v: the person was bothered %d times", err, n)
		}
		if (profile.File{Dir: d.Dir, Name: d.Profile}).Exists() {
			t.Errorf("%v: a profile was saved", err)
		}
	}
}

func TestALoginReplacesASessionThatCannotBeOpened(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InKeyring)
	d.keyring.key = tokenstore.NewKey()
	d.stderr.Reset()
	if code := d.report(refreshCmd{}.Run(t.Context(), d.app)); code != exit.Config || !strings.Contains(d.stderr.String(), `run "evertoken login --profile work"`) {
		t.Errorf("refresh: exit code %d, said %q; want %d and how to start over", code, d.stderr.String(), exit.Config)
	}
	if said := d.mustLogin(""); !strings.Contains(said, "cannot be opened and is removed here") {
		t.Errorf("login said %q; want a warning about the old session", said)
	}
	d.refreshes()
}

func TestTheKeyringIsOpenedOnlyForTokensThatAreInIt(t *testing.T) {
	d := newDesk(t)
	for _, args := range [][]string{{"help"}, {"version"}} {
		if code := run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard, d.getenv); code != exit.OK {
			t.Errorf("%s: exit code %d", args, code)
		}
	}
	if code := d.report((&tokenCmd{}).Run(t.Context(), d.app)); code != exit.Login {
		t.Errorf("token without a profile: exit code %d; want %d", code, exit.Login)
	}
	d.mustLogin(profile.InFiles)
	d.mustLogin("")
	d.refreshes()
	if d.keyring.opened != 0 {
		t.Errorf("the keyring was opened %d times for a session in a file", d.keyring.opened)
	}
}

func TestWatchOpensTheKeyringOnce(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InKeyring)
	d.keyring.opened = 0
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	d.stdout = in
	ended := make(chan error, 1)
	go func() {
		ended <- watchCmd{}.Run(ctx, d.app)
		_ = in.Close()
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	d.server.ExpireAccess("alice")
	stop()
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || d.keyring.opened != 1 {
		t.Errorf("watch ended with %v and opened the keyring %d times; want once", err, d.keyring.opened)
	}
}

func TestStatusSaysWhereTheTokensAre(t *testing.T) {
	d := newDesk(t)
	if said := d.mustLogin(""); !strings.Contains(said, "OS keyring (sealed files in "+filepath.Dir(d.sessionFile(profile.InKeyring))+")") {
		t.Errorf("login said %q; want where the tokens are", said)
	}
	var text, fields strings.Builder
	for json, out := range map[bool]*strings.Builder{false: &text, true: &fields} {
		d.stdout = out
		if err := (&statusCmd{JSON: json}).Run(t.Context(), d.app); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(text.String(), "OS keyring (sealed files in ") || !strings.Contains(fields.String(), `"store": "keyring"`) {
		t.Errorf("status says %q and %s; want where the tokens are", text.String(), fields.String())
	}
}
