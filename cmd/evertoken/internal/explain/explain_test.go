package explain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

// guide gives the advice for the profile "work".
var guide = Guide{
	Profile: "work",
	Command: func(name string, flags ...string) string {
		return `"` + strings.Join(append([]string{"evertoken", name, "--profile", "work"}, flags...), " ") + `"`
	},
	Login: func(full bool, flags ...string) string {
		return `"` + strings.Join(append([]string{"evertoken login --profile work --issuer URL --client-id ID"}, flags...), " ") + `"`
	},
}

func TestEveryErrorHasItsExitCodeAndANextStep(t *testing.T) {
	login := `run "evertoken login --profile work --issuer URL --client-id ID"`
	wrap := func(err error) error { return fmt.Errorf("refresh: start: %w", err) }
	for name, c := range map[string]struct {
		err  error
		code int
		next string
	}{
		"no session":     {wrap(tokenstore.ErrNotFound), exit.Login, login},
		"logged out":     {wrap(refresh.ErrLoggedOut), exit.Login, login},
		"damaged":        {wrap(tokenstore.ErrDamaged), exit.Login, login},
		"newer":          {wrap(tokenstore.ErrNewerFormat), exit.Config, "update evertoken"},
		"dead grant":     {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrLoginRequired, Code: "invalid_grant"}), exit.Login, login},
		"misconfigured":  {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Code: "invalid_client"}), exit.Config, "correct the settings"},
		"outage":         {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503}), exit.Temporary, "try again"},
		"retry after":    {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 429, RetryAt: time.Now()}), exit.Temporary, "asks to wait until"},
		"proxy":          {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Err: oauth.ErrProxyAuth, Hint: "set HTTPS_PROXY"}), exit.Config, "set HTTPS_PROXY"},
		"certificate":    {wrap(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Err: oauth.ErrUntrustedCertificate, Hint: "set SSL_CERT_FILE"}), exit.Config, "set SSL_CERT_FILE"},
		"locked":         {wrap(tokenstore.ErrLocked), exit.Temporary, "try again"},
		"deadline":       {wrap(context.DeadlineExceeded), exit.Temporary, "try again"},
		"no keyring":     {fmt.Errorf("keyring: open: %w (no bus: %w)", keyring.ErrNoKeyring, fs.ErrNotExist), exit.Config, login[:len(login)-1] + ` --store file"`},
		"keyring locked": {wrap(keyring.ErrKeyringLocked), exit.Temporary, "once it is unlocked"},
		"keyring hangs":  {wrap(fmt.Errorf("%w: %w", keyring.ErrTimeout, context.DeadlineExceeded)), exit.Temporary, "the same command may work"},
		"key lost":       {wrap(keyring.ErrKeyLost), exit.Config, login},
		"sealed":         {wrap(tokenstore.ErrSealed), exit.Config, "bring that keyring back; to start over without the session, " + login},
		"not sealed":     {wrap(tokenstore.ErrNotSealed), exit.Config, "to replace it, " + login},
		"unsaved":        {wrap(fmt.Errorf("%w: %w", refresh.ErrUnsaved, fs.ErrPermission)), exit.Temporary, "make room"},
		"permission":     {wrap(&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}), exit.Config, "--dir"},
		"no room":        {wrap(&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), exit.Temporary, "free some space"},
		"mounted file":   {wrap(&fs.PathError{Op: "rename", Path: "x", Err: syscall.EBUSY}), exit.Config, "mount the directory"},
		"disk full":      {wrap(&tokenstore.PlaceError{Err: syscall.ENOSPC, Advice: "free it", Passes: true}), exit.Temporary, "free it"},
		"read-only":      {wrap(&tokenstore.PlaceError{Err: syscall.EROFS, Advice: "mend it"}), exit.Config, "can be written to with --dir"},
		"not its owner":  {wrap(&tokenstore.PlaceError{Err: syscall.EACCES, Advice: "mend it"}), exit.Config, "mend it, or choose another directory with --dir"},
		"no locks":       {wrap(&tokenstore.PlaceError{Err: tokenstore.ErrNoLocks, Advice: "mend it"}), exit.Config, "local disk with --dir"},
		"own advice":     {wrap(&tokenstore.PlaceError{Err: errors.New("a link"), Advice: "mend it"}), exit.Config, "mend it"},
		"interrupted":    {wrap(context.Canceled), exit.Interrupted, "nothing is lost"},
		"output closed":  {wrap(syscall.EPIPE), exit.Failed, "a reader that stays"},
		"anything else":  {errors.New("boom"), exit.Failed, "--verbose"},
	} {
		p := guide.Error(c.err)
		if p.Code != c.code || !strings.Contains(p.Next, c.next) {
			t.Errorf("%s: exit code %d, next step %q; want %d, %q", name, p.Code, p.Next, c.code, c.next)
		}
	}
}
