package explain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestAMistakeNamesTheFlagInPlaceOfTheField(t *testing.T) {
	const client, pkce = "check client ID, client secret and --client-auth", "then log in with --no-pkce"
	for _, tt := range []struct {
		fail       oauth.Error
		what, next string
	}{
		{oauth.Error{Op: "authorize", Field: "DisablePKCE", Err: errors.New("is for clients that authenticate")},
			"authorize: misconfigured: --no-pkce is for clients that authenticate", "correct the settings"},
		{oauth.Error{Op: "exchange", Code: "invalid_client", Status: 401, Sent: true, Field: "ClientAuth", Hint: "Config.ClientAuth"},
			"exchange: invalid_client (HTTP 401): misconfigured", client},
		{oauth.Error{Op: "exchange", Code: "invalid_client", Status: 401, Sent: true, Field: "DisablePKCE", Hint: "Config.DisablePKCE"},
			"exchange: invalid_client (HTTP 401): misconfigured", client},
		{oauth.Error{Op: "exchange", Code: "invalid_client", Status: 401, Sent: true, Field: "DisablePKCE", Hint: "Config.DisablePKCE"},
			"exchange: invalid_client (HTTP 401): misconfigured", pkce},
		{oauth.Error{Op: "exchange", Code: "invalid_request", Status: 400, Sent: true, Field: "DisablePKCE", Hint: "Config.DisablePKCE"},
			"exchange: invalid_request (HTTP 400): misconfigured", "check --redirect-url; if nothing is wrong there"},
		{oauth.Error{Op: "authorize", Code: "invalid_scope", Field: "Scopes", Hint: "check Config.Scopes"},
			"authorize: invalid_scope: misconfigured", "check --scope"},
		{oauth.Error{Op: "refresh", Sent: true, Err: oauth.ErrUnreadAnswer, Field: "TokenPath", Hint: "Config.TokenPath"},
			"refresh: misconfigured: the answer holds tokens where none are expected", "--token-path"},
		{oauth.Error{Op: "discover", Field: "Endpoints.Userinfo", Err: errors.New("(userinfo_endpoint) must be https"), Hint: "name the endpoint in Config"},
			"discover: misconfigured: what the server publishes (userinfo_endpoint) must be https", "ask the server's administrator"},
		{oauth.Error{Op: "discover", Status: 302, Sent: true, Hint: "use the issuer that the server redirects to"},
			"discover (HTTP 302): misconfigured", "use the issuer that the server redirects to; correct the settings"},
	} {
		tt.fail.Kind = oauth.ErrMisconfigured
		p := guide.Error(fmt.Errorf("refresh: start: %w", &tt.fail))
		if p.What != tt.what || !strings.Contains(p.Next, tt.next) || strings.Contains(p.Error(), "Config") {
			t.Errorf("%v:\n got %q\nwant %q, %q", &tt.fail, p.Error(), tt.what, tt.next)
		}
	}
}

func TestFlagsAreForFieldsThatThereAre(t *testing.T) {
	for field := range Flags {
		if _, found := reflect.TypeFor[oauth.Config]().FieldByName(field); !found {
			t.Errorf("oauth.Config has no field %s", field)
		}
	}
}

func TestTextsAreInTheWordsOfTheCommand(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "x", Err: errors.New("it is gone")}
	for want, err := range map[string]error{
		"the new tokens are not saved: open x: it is gone": fmt.Errorf("refresh: %w: %w", refresh.ErrUnsaved, missing),
		"the new tokens are not saved":                     fmt.Errorf("refresh: %w", refresh.ErrUnsaved),
		"the saved session was written by a newer version": fmt.Errorf("tokenstore: read: %w", tokenstore.ErrNewerFormat),
		"this file system has no locks: open x: it is gone": &tokenstore.PlaceError{
			Err: fmt.Errorf("%w: %w", tokenstore.ErrNoLocks, missing)},
		"nothing saved: the saved session is damaged": &Doing{"nothing saved", fmt.Errorf("tokenstore: %w", tokenstore.ErrDamaged)},
		"the session has ended":                       fmt.Errorf("refresh: start: no saved session: %w", oauth.ErrLoginRequired),
	} {
		if got := Text(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}

func TestADamagedSessionIsToldWithItsFile(t *testing.T) {
	g := guide
	g.Dir = t.TempDir()
	damage := fmt.Errorf("tokenstore: %w", tokenstore.ErrDamaged)
	if got, want := g.Error(damage).What, "the saved session is damaged"; got != want {
		t.Errorf("without a file: got %q, want %q", got, want)
	}
	for _, name := range []string{"work.json.damaged-20260101T000000Z-1", "sealed/work.json.damaged-20260301T000000Z-1", "work.json.damaged-20260201T000000Z-1", "other.json.damaged-20260401T000000Z-1"} {
		path := filepath.Join(g.Dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := g.Error(damage).What, "moved to "+filepath.Join(g.Dir, "sealed", "work.json.damaged-20260301T000000Z-1"); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q at its end", got, want)
	}
	damage = fmt.Errorf("%w: %w", damage, &tokenstore.PlaceError{Err: syscall.EROFS})
	if got := g.Error(damage).What; !strings.Contains(got, "could not be moved") {
		t.Errorf("got %q, want that the file could not be moved", got)
	}
}
