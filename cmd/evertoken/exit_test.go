package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

func testApp(t *testing.T) *app {
	t.Helper()
	return &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard,
		getenv: func(string) string { return "" }, profile: "work", dir: t.TempDir(),
		openKeyring: func(context.Context, string) (backend, error) {
			t.Error("the keyring was opened")
			return nil, keyring.ErrNoKeyring
		}}
}

func TestEveryErrorHasItsExitCodeAndANextStep(t *testing.T) {
	login := `run "evertoken login --profile work --issuer URL --client-id ID"`
	wrap := func(err error) error { return fmt.Errorf("refresh: start: %w", err) }
	for name, c := range map[string]struct {
		err  error
		code int
		next string
	}{
		"no session":     {wrap(tokenstore.ErrNotFound), exitLogin, login},
		"logged out":     {wrap(refresh.ErrLoggedOut), exitLogin, login},
		"damaged":        {wrap(tokenstore.ErrDamaged), exitLogin, login},
		"newer":          {wrap(tokenstore.ErrNewerFormat), exitConfig, "update evertoken"},
		"dead grant":     {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrLoginRequired, Code: "invalid_grant"}), exitLogin, login},
		"misconfigured":  {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Code: "invalid_client"}), exitConfig, "correct the settings"},
		"outage":         {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503}), exitTemporary, "try again"},
		"retry after":    {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 429, RetryAt: time.Now()}), exitTemporary, "left alone until"},
		"proxy":          {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Err: oauth.ErrProxyAuth, Hint: "set HTTPS_PROXY"}), exitConfig, "set HTTPS_PROXY"},
		"certificate":    {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Err: oauth.ErrUntrustedCertificate, Hint: "set SSL_CERT_FILE"}), exitConfig, "set SSL_CERT_FILE"},
		"locked":         {wrap(tokenstore.ErrLocked), exitTemporary, "try again"},
		"deadline":       {wrap(context.DeadlineExceeded), exitTemporary, "try again"},
		"no keyring":     {fmt.Errorf("keyring: open: %w (no bus: %w)", keyring.ErrNoKeyring, fs.ErrNotExist), exitConfig, login[:len(login)-1] + ` --store file"`},
		"keyring locked": {wrap(keyring.ErrKeyringLocked), exitTemporary, "once it is unlocked"},
		"keyring hangs":  {wrap(fmt.Errorf("%w: %w", keyring.ErrTimeout, context.DeadlineExceeded)), exitTemporary, "the same command may work"},
		"key lost":       {wrap(keyring.ErrKeyLost), exitConfig, login},
		"sealed":         {wrap(tokenstore.ErrSealed), exitConfig, "bring that keyring back; to start over without the session, " + login},
		"not sealed":     {wrap(tokenstore.ErrNotSealed), exitConfig, "to replace it, " + login},
		"unsaved":        {wrap(fmt.Errorf("%w: %w", refresh.ErrUnsaved, fs.ErrPermission)), exitFailed, "make room"},
		"permission":     {wrap(&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}), exitConfig, "--dir"},
		"no room":        {wrap(&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), exitTemporary, "free some space"},
		"mounted file":   {wrap(&fs.PathError{Op: "rename", Path: "x", Err: syscall.EBUSY}), exitConfig, "mount the directory"},
		"disk full":      {wrap(&tokenstore.PlaceError{Err: syscall.ENOSPC, Advice: "free it", Passes: true}), exitTemporary, "free it"},
		"read-only":      {wrap(&tokenstore.PlaceError{Err: syscall.EROFS, Advice: "mend it"}), exitConfig, "can be written to with --dir"},
		"not its owner":  {wrap(&tokenstore.PlaceError{Err: syscall.EACCES, Advice: "mend it"}), exitConfig, "mend it, or choose another directory with --dir"},
		"no locks":       {wrap(&tokenstore.PlaceError{Err: tokenstore.ErrNoLocks, Advice: "mend it"}), exitConfig, "local disk with --dir"},
		"own advice":     {wrap(&tokenstore.PlaceError{Err: errors.New("a link"), Advice: "mend it"}), exitConfig, "mend it"},
		"interrupted":    {wrap(context.Canceled), exitFailed, "nothing is lost"},
		"anything else":  {errors.New("boom"), exitFailed, "--verbose"},
	} {
		p := testApp(t).explain(c.err)
		if p.code != c.code || !strings.Contains(p.next, c.next) {
			t.Errorf("%s: exit code %d, next step %q; want %d, %q", name, p.code, p.next, c.code, c.next)
		}
	}
}

func TestAdviceAfterARejectedTokenFollowsTheSession(t *testing.T) {
	resp := &http.Response{StatusCode: http.StatusUnauthorized, Status: "401 Unauthorized"}
	for state, next := range map[refresh.State]string{
		refresh.StateValid:         "with other scopes",
		refresh.StateLoginRequired: `run "evertoken login`,
		refresh.StateLoggedOut:     `run "evertoken login`,
	} {
		var p *problem
		if err := new(getCmd).verdict(testApp(t), resp, state); !errors.As(err, &p) || p.code != exitLogin || !strings.Contains(p.next, next) {
			t.Errorf("%s: %v; want exit code %d, %q", state, err, exitLogin, next)
		}
	}
}

func TestLoginAdviceNamesOnlyWhatIsNotRemembered(t *testing.T) {
	a := testApp(t)
	if err := a.saveProfile(&profile{Format: profileFormat, ClientID: "id", TokenURL: "https://x/token"}); err != nil {
		t.Fatal(err)
	}
	if got, want := a.loginAdvice(), `run "evertoken login --profile work"`; got != want {
		t.Errorf("advice %q; want %q", got, want)
	}
}
