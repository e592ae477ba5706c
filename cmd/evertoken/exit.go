package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

// The exit codes, told in the documentation of the command. Scripts depend on
// them.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitLogin     = 3
	exitTemporary = 4
	exitConfig    = 5
)

// A problem is an error with an exit code and with what to do about it.
type problem struct {
	code int
	what string
	next string
}

func (p *problem) Error() string { return p.what + ": " + p.next }

// usage is a mistake on the command line.
func usage(err error) error {
	return &problem{exitUsage, err.Error(), `see "evertoken help"`}
}

// silent ends the command with an exit code when all has been said already.
type silent int

func (silent) Error() string { return "failed" }

// report tells the person what went wrong and what to do, and returns the exit
// code.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	var quiet silent
	if errors.As(err, &quiet) {
		return int(quiet)
	}
	p := a.explain(err)
	a.warn("evertoken: %s", p.Error())
	return p.code
}

// explain finds the exit code of an error and the person's next step.
func (a *app) explain(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	what := plainText(err)
	var place *tokenstore.PlaceError
	switch {
	case errors.Is(err, refresh.ErrUnsaved):
		// The refresh token on disk may be spent: this comes before all else.
		return &problem{exitFailed, what, `make room or fix the permissions of the directory, then run "evertoken status"`}
	case fromKeyring(err):
		return a.explainKeyring(err)
	case errors.Is(err, syscall.EPIPE):
		return &problem{exitFailed, "nobody reads the output any more", "run it again, with a reader that stays"}
	case errors.Is(err, tokenstore.ErrNotFound), errors.Is(err, refresh.ErrLoggedOut):
		return &problem{exitLogin, "not logged in", a.loginAdvice()}
	case errors.Is(err, tokenstore.ErrDamaged):
		return &problem{exitLogin, what, a.loginAdvice()}
	case errors.As(err, &place):
		return explainPlace(place)
	case errors.Is(err, tokenstore.ErrNewerFormat):
		return &problem{exitConfig, what, "update evertoken"}
	case networkSettings(err) != nil:
		return networkSettings(err)
	case errors.Is(err, oauth.ErrLoginRequired):
		return &problem{exitLogin, what, a.loginAdvice()}
	case errors.Is(err, oauth.ErrMisconfigured):
		return &problem{exitConfig, what, "correct the settings with " + a.loginCommand(true)}
	case explainFile(err) != nil:
		return explainFile(err)
	case errors.Is(err, context.Canceled):
		return &problem{exitFailed, "interrupted", "run it again when you like; nothing is lost"}
	case errors.Is(err, tokenstore.ErrLocked):
		return &problem{exitTemporary, "another process is busy with this session", "try again in a moment"}
	case errors.Is(err, oauth.ErrTransient), errors.Is(err, context.DeadlineExceeded):
		return &problem{exitTemporary, what, tryAgain(err)}
	}
	return &problem{exitFailed, what, "run it again with --verbose to see more"}
}

// explainFile is explain for a file that cannot be read or written, or returns nil.
func explainFile(err error) *problem {
	what := plainText(err)
	switch {
	case isAny(err, fs.ErrPermission, fs.ErrNotExist, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.EROFS):
		return &problem{exitConfig, what, "choose another directory with --dir or EVERTOKEN_DIR"}
	case isAny(err, syscall.ENOSPC, syscall.EDQUOT):
		return &problem{exitTemporary, what, "free some space"}
	case isAny(err, syscall.EMFILE, syscall.ENFILE):
		return &problem{exitTemporary, what, "close other programs, or raise the limit of open files (ulimit -n)"}
	case isAny(err, syscall.EBUSY):
		return &problem{exitConfig, what, "if the file is a mount, mount the directory that holds it instead"}
	}
	_, path := errors.AsType[*fs.PathError](err)
	_, link := errors.AsType[*os.LinkError](err)
	if path || link {
		return &problem{exitTemporary, what, "try again; if it stays so, check the disk"}
	}
	return nil
}

func isAny(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

// explainPlace is explain for a place that does not let sessions be kept there.
func explainPlace(err *tokenstore.PlaceError) *problem {
	const elsewhere = " with --dir or EVERTOKEN_DIR"
	p := &problem{exitConfig, "the session cannot be kept where it is: " + plainText(err.Err), err.Advice}
	switch {
	case err.Passes:
		p.code = exitTemporary
	case errors.Is(err, tokenstore.ErrNoLocks):
		p.next = "choose a directory on a local disk" + elsewhere
	case errors.Is(err, syscall.EROFS):
		p.next = "choose a directory that can be written to" + elsewhere
	case isAny(err, fs.ErrPermission, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP):
		p.next += ", or choose another directory" + elsewhere
	}
	return p
}

// fromKeyring reports whether it is the keyring that fails, or a key that is
// missing. These come first, because what they wrap may look like something else:
// the socket of a bus that is not there like a directory that is not.
func fromKeyring(err error) bool {
	return isAny(err, keyring.ErrNoKeyring, keyring.ErrKeyringLocked, keyring.ErrTimeout, keyring.ErrKeyLost, tokenstore.ErrSealed)
}

// explainKeyring is explain for these errors. A locked keyring is temporary trouble:
// nobody has to change a setting for it.
func (a *app) explainKeyring(err error) *problem {
	what := plainText(err)
	switch {
	case errors.Is(err, keyring.ErrNoKeyring):
		return &problem{exitConfig, what, "to keep the tokens in a file that is not encrypted, run " + a.loginCommand(false, "--store file")}
	case errors.Is(err, keyring.ErrKeyringLocked):
		return &problem{exitTemporary, what, "the same command works once it is unlocked"}
	case errors.Is(err, keyring.ErrTimeout):
		return &problem{exitTemporary, what, "the same command may work in a moment"}
	case errors.Is(err, keyring.ErrKeyLost):
		return &problem{exitConfig, what, a.loginAdvice()}
	case errors.Is(err, tokenstore.ErrNotSealed):
		return &problem{exitConfig, fmt.Sprintf("the session of profile %q is not sealed, as if somebody had put it there", a.profile), "to replace it, " + a.loginAdvice()}
	}
	return &problem{exitConfig, fmt.Sprintf("the session of profile %q cannot be opened: its file was changed, or sealed with a key that is not in the OS keyring", a.profile),
		"bring that keyring back; to start over without the session, " + a.loginAdvice()}
}

// networkSettings explains an error of the way to the server that lasts until
// a person sets something, or returns nil. The session is kept meanwhile.
func networkSettings(err error) *problem {
	fail, ok := errors.AsType[*oauth.Error](err)
	if !ok || !errors.Is(fail, oauth.ErrProxyAuth) && !errors.Is(fail, oauth.ErrUntrustedCertificate) {
		return nil
	}
	return &problem{exitConfig, fail.Err.Error(), fail.Hint}
}

// loginCommand is what to type for a login to the current profile; with full,
// also when the profile remembers its server.
func (a *app) loginCommand(full bool, flags ...string) string {
	var b strings.Builder
	b.WriteString(`"evertoken login`)
	if a.profile != defaultProfile {
		b.WriteString(" --profile " + a.profile)
	}
	if full || !a.profileExists() {
		b.WriteString(" --issuer URL --client-id ID")
	}
	for _, flag := range flags {
		b.WriteString(" " + flag)
	}
	b.WriteString(`"`)
	return b.String()
}

func (a *app) loginAdvice() string { return "run " + a.loginCommand(false) }

// tryAgain says when a temporary failure is worth another try.
func tryAgain(err error) string {
	var fail *oauth.Error
	if errors.As(err, &fail) && !fail.RetryAt.IsZero() {
		return "the server wants to be left alone until " + fail.RetryAt.Local().Format(time.TimeOnly) + ", try again then"
	}
	return "try again in a moment; the session is kept"
}

// plainText is an error's text without the package name that it begins with (and
// "open", when that failed), and with our flags for what the library calls by its
// fields.
func plainText(err error) string {
	text := err.Error()
	for _, prefix := range []string{"oauth: ", "tokenstore: ", "refresh: ", "keyring: ", "open: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return flagNames().Replace(text)
}

func flagNames() *strings.Replacer {
	return strings.NewReplacer(
		"Config.ClientAuth", "--client-auth",
		"Config.ClientID", "--client-id",
		"Config.Scopes", "--scope",
		"Config.AuthParams", "--auth-param",
		"Config.AuthURL", "--auth-url",
		"Config.TokenURL", "--token-url",
		"Config.DeviceAuthURL", "--device-auth-url",
		"Config.RevocationURL", "--revocation-url",
		"Config.RedirectURL", "--redirect-url",
		" and use NewClient", "",
		"set Config.IssuerTemplate to what the metadata says, or ask", "ask",
		"Config.TokenPath, or the names in a Dialect", "--token-path",
		"Config.TokenPath", "--token-path",
		"set Config.DisablePKCE", "log in with --no-pkce",
		"Config.DisablePKCE", "--no-pkce",
		"Config.ScopeSeparator", "--scope-separator",
		"Config.DefaultLifetime", "--lifetime",
		"Config.Preset", "--preset",
		" a ClientSecret", " --client-secret-file",
		"another RedirectURL", "another --redirect-url",
	)
}
