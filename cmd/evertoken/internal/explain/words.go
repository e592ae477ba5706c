package explain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

// A Doing is an error with what the command was doing, or what became of it.
type Doing struct {
	What string // in the words that the person reads
	Err  error
}

func (e *Doing) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Doing) Unwrap() error { return e.Err }

// words are what the command says of errors that the library has words of its own for.
var words = []struct {
	err  error
	text string
}{
	{refresh.ErrCopied, "the saved session was copied here from another machine or directory, where it was renewed, too"},
	{refresh.ErrOldCopy, "the saved session was copied, or restored from an older copy, and its refresh token is spent"},
	{tokenstore.ErrDamaged, "the saved session is damaged"},
	{tokenstore.ErrNewerFormat, "the saved session was written by a newer version"},
	{tokenstore.ErrConflict, "another process keeps changing the saved session"},
	{keyring.ErrNoKeyring, "there is no OS keyring here: log in to a desktop session, or start a Secret Service such as gnome-keyring"},
	{keyring.ErrKeyringLocked, "the OS keyring is locked"},
	{keyring.ErrTimeout, "the OS keyring does not answer: if that goes on, restart its service or log in to the desktop anew"},
	{keyring.ErrKeyLost, "the key of the saved sessions is not in the OS keyring"},
	{tokenstore.ErrSealed, "the saved session cannot be opened"},
}

// Text says in the command's words what an error is, without what to do about it. It
// builds the text from what the error holds.
func Text(err error) string {
	if doing, ok := errors.AsType[*Doing](err); ok {
		return doing.What + ": " + Text(doing.Err)
	}
	if errors.Is(err, refresh.ErrUnsaved) {
		return "the new tokens are not saved" + place(": ", err)
	}
	if fail, ok := errors.AsType[*oauth.Error](err); ok {
		return failure(fail)
	}
	for _, known := range words {
		if errors.Is(err, known.err) {
			return known.text
		}
	}
	if text := place("", err); text != "" {
		return text
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "there was no answer in time"
	case errors.Is(err, oauth.ErrLoginRequired):
		return "the session has ended"
	}
	return err.Error()
}

// place says, after prefix, what is wrong with the file or the place that an error is
// about, or returns "".
func place(prefix string, err error) string {
	if at, ok := errors.AsType[*tokenstore.PlaceError](err); ok {
		err = at.Err
		if inner := place(prefix, err); inner != "" {
			return inner
		}
		return prefix + err.Error()
	}
	path, isPath := errors.AsType[*fs.PathError](err)
	link, isLink := errors.AsType[*os.LinkError](err)
	what := ""
	switch {
	case isPath:
		what = path.Error()
	case isLink:
		what = link.Error()
	}
	switch {
	case errors.Is(err, tokenstore.ErrNoLocks) && what != "":
		return prefix + "this file system has no locks: " + what
	case errors.Is(err, tokenstore.ErrNoLocks):
		return prefix + "this file system has no locks"
	case what == "":
		return ""
	}
	return prefix + what
}

// failure says what became of a request.
func failure(fail *oauth.Error) string {
	text := fail.Op
	if fail.Code != "" {
		text += ": " + fail.Code
	}
	if fail.Status != 0 {
		text += fmt.Sprintf(" (HTTP %d)", fail.Status)
	}
	if fail.Kind != nil {
		text += ": " + fail.Kind.Error()
	}
	switch {
	case fail.Err == nil:
		return text
	case mistake(fail):
		return text + ": " + setting(fail.Field) + " " + fail.Err.Error()
	}
	return text + ": " + Text(fail.Err)
}

// mistake reports whether the text of an error's cause follows the name of a setting.
func mistake(fail *oauth.Error) bool {
	return fail.Field != "" && fail.Kind == oauth.ErrMisconfigured && !fail.Sent
}

// Flags are the flags of a login by the fields of oauth.Config that they set.
var Flags = map[string]string{
	"AuthParams":      "--auth-param",
	"AuthURL":         "--auth-url",
	"ClientAuth":      "--client-auth",
	"ClientID":        "--client-id",
	"ClientSecret":    "--client-secret-file",
	"DefaultLifetime": "--lifetime",
	"DeviceAuthURL":   "--device-auth-url",
	"DisablePKCE":     "--no-pkce",
	"Issuer":          "--issuer",
	"Preset":          "--preset",
	"RedirectURL":     "--redirect-url",
	"RevocationURL":   "--revocation-url",
	"Scopes":          "--scope",
	"ScopeSeparator":  "--scope-separator",
	"TokenPath":       "--token-path",
	"TokenURL":        "--token-url",
}

// setting names what sets a field of oauth.Config.
func setting(field string) string {
	if flag := Flags[field]; flag != "" {
		return flag
	}
	if field == "BaseURL" { // of dialect.Config
		return "--url"
	}
	if strings.HasPrefix(field, "Endpoints.") {
		return "what the server publishes"
	}
	return "a setting that evertoken makes by itself"
}

const (
	adviceClient   = "check client ID, client secret and --client-auth (servers differ: client_secret_basic, client_secret_post, or client_secret_basic_raw)"
	adviceRedirect = "check --redirect-url"
	advicePKCE     = "; if nothing is wrong there, the server may refuse PKCE from clients that authenticate: then log in with --no-pkce"
)

// advice says which flag to change after a misconfiguration, or else what the library
// says to do; "" if the error's text says it all.
func advice(fail *oauth.Error) string {
	if fail.Hint == "" {
		return ""
	}
	switch fail.Field {
	case "":
		return fail.Hint
	case "ClientAuth":
		return adviceClient
	case "DisablePKCE":
		if errors.Is(fail, oauth.ErrClientRefused) {
			return adviceClient + advicePKCE
		}
		return adviceRedirect + advicePKCE
	case "RedirectURL":
		return adviceRedirect + ": it has to be one that the client is registered with, on this machine; or log in with --device"
	case "Issuer":
		return "check --issuer: it has to be the server's own spelling, to the last slash"
	case "IssuerTemplate":
		return "name the issuer of one tenant with --issuer"
	case "TokenURL":
		return "name the server's endpoints with --auth-url and --token-url"
	case "TokenPath":
		return "name the place of the tokens with --token-path"
	}
	if flag := Flags[fail.Field]; flag != "" {
		return "check " + flag
	}
	return "ask the server's administrator"
}

// Bare drops net/http's wrapping, which quotes the URL with its query.
func Bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
