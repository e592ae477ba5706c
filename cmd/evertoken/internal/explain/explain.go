// Package explain finds for an error the exit code and the next step, and says in
// the command's words what has happened. It builds these texts from what errors hold;
// it never edits the text of an error.
package explain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/internal/ownfile"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

// A Guide knows the commands that the person would type next.
type Guide struct {
	Profile string
	// Dir is the directory of profiles, which is also that of the plain files of tokens.
	Dir string
	// Command returns a command about the profile, in quotes.
	Command func(name string, flags ...string) string
	// Backend tells that the profile's server is a backend with a dialect, and speaks no OAuth.
	Backend bool
	// MCP is what follows "mcp" where the command is about MCP servers, which have no profiles.
	MCP []string
	// Login returns the command that logs in to the profile, in quotes. With full, it
	// names server and client even if the profile remembers them.
	Login func(full bool, flags ...string) string
}

// plain is the command that keeps the tokens in a plain file.
func (g Guide) plain() string {
	if g.MCP != nil {
		return g.Command("mcp", append(g.MCP[:len(g.MCP):len(g.MCP)], "--store file")...)
	}
	return g.Login(false, "--store file")
}

// LoginAdvice is the next step where a login is required.
func (g Guide) LoginAdvice() string { return "run " + g.Login(false) }

// Error finds the exit code of an error and what the person can do next.
func (g Guide) Error(err error) *exit.Problem {
	if p, ok := errors.AsType[*exit.Problem](err); ok {
		return p
	}
	what := Text(err)
	var at *tokenstore.PlaceError
	switch {
	case errors.Is(err, refresh.ErrUnsaved):
		// The refresh token on disk may be spent: this comes before all else.
		code := exit.Temporary
		if errors.As(err, &at) {
			code = unusable(at).Code
		}
		return exit.New(code, what, "make room or fix the permissions of the directory, then run "+g.Command("status"))
	case fromKeyring(err):
		return g.keyring(err)
	case errors.Is(err, syscall.EPIPE):
		return exit.New(exit.Failed, "output closed before it was written (broken pipe)", "run it again, with a reader that stays")
	case errors.Is(err, tokenstore.ErrNotFound), errors.Is(err, refresh.ErrLoggedOut):
		return exit.New(exit.Login, "not logged in", g.LoginAdvice())
	case errors.Is(err, tokenstore.ErrDamaged):
		return exit.New(exit.Login, g.damaged(err), g.LoginAdvice())
	case errors.As(err, &at):
		return unusable(at)
	case errors.Is(err, tokenstore.ErrNewerFormat):
		return exit.New(exit.Config, what, "update evertoken")
	case Network(err) != nil:
		return Network(err)
	case errors.Is(err, oauth.ErrLoginRequired):
		return exit.New(exit.Login, what, g.LoginAdvice())
	case errors.Is(err, oauth.ErrMisconfigured):
		return exit.New(exit.Config, what, g.settings(err))
	case file(err) != nil:
		return file(err)
	case errors.Is(err, context.Canceled):
		return exit.New(exit.Interrupted, "interrupted", "run it again when you like; nothing is lost")
	case errors.Is(err, tokenstore.ErrLocked):
		return exit.New(exit.Temporary, "another process is busy with this session", "try again in a moment")
	case errors.Is(err, oauth.ErrTransient), errors.Is(err, context.DeadlineExceeded):
		return exit.New(exit.Temporary, what, tryAgain(err))
	}
	return exit.New(exit.Failed, what, "run it again with --verbose to see more")
}

// file is Error for a file that cannot be read or written, or returns nil.
func file(err error) *exit.Problem {
	what := Text(err)
	switch {
	case IsAny(err, fs.ErrPermission, fs.ErrNotExist, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.EROFS):
		return exit.New(exit.Config, what, "choose another directory with --dir or EVERTOKEN_DIR")
	case IsAny(err, syscall.ENOSPC, syscall.EDQUOT):
		return exit.New(exit.Temporary, what, "free some space")
	case IsAny(err, syscall.EMFILE, syscall.ENFILE):
		return exit.New(exit.Temporary, what, "close other programs, or raise the limit of open files (ulimit -n)")
	case IsAny(err, syscall.EBUSY):
		return exit.New(exit.Config, what, "if the file is a mount, mount the directory that holds it instead")
	}
	_, path := errors.AsType[*fs.PathError](err)
	_, link := errors.AsType[*os.LinkError](err)
	if path || link {
		return exit.New(exit.Temporary, what, "try again; if it stays so, check the disk")
	}
	return nil
}

func IsAny(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

// settings is the next step after a misconfiguration.
func (g Guide) settings(err error) string {
	switch {
	case g.Backend && errors.Is(err, oauth.ErrClientRefused):
		return "the backend refuses this program, and not the session: ask its administrator"
	case g.Backend:
		return "see that --url and --dialect fit this backend, then run " + g.Login(true)
	}
	next := "correct the settings with " + g.Login(true)
	if fail, ok := errors.AsType[*oauth.Error](err); ok && advice(fail) != "" {
		next = advice(fail) + "; " + next
	}
	return next
}

// damaged is Text for a damaged session, with what became of its file.
func (g Guide) damaged(err error) string {
	what := Text(err)
	if trouble := place("", err); trouble != "" {
		return what + ", and its file could not be moved out of the way: " + trouble
	}
	if aside := g.aside(); aside != "" {
		return what + "; its file was moved to " + aside
	}
	return what
}

// aside returns the file that a damaged session of the profile was last moved to, or "".
func (g Guide) aside() string {
	var last string
	for _, kind := range []string{profile.InFiles, profile.InKeyring} {
		dir := stores.Dir(g.Dir, kind)
		found, _ := fs.Glob(os.DirFS(dir), g.Profile+".json.damaged-*") // the rest of the name begins with the time
		for _, name := range found {
			if name > filepath.Base(last) {
				last = filepath.Join(dir, name)
			}
		}
	}
	return last
}

// unusable is Error for a place that does not let sessions be kept there.
func unusable(err *tokenstore.PlaceError) *exit.Problem {
	const elsewhere = " with --dir or EVERTOKEN_DIR"
	p := exit.New(exit.Config, "the session cannot be kept where it is: "+place("", err), err.Advice)
	switch {
	case err.Passes:
		p.Code = exit.Temporary
	case errors.Is(err, tokenstore.ErrNoLocks):
		p.Next = "choose a directory on a local disk" + elsewhere
	case errors.Is(err, syscall.EROFS):
		p.Next = "choose a directory that can be written to" + elsewhere
	case strings.HasSuffix(p.Next, ownfile.AnotherDirectory):
		p.Next += elsewhere
	case IsAny(err, fs.ErrPermission, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP), isOwn(err):
		p.Next += ", or choose another directory" + elsewhere
	}
	return p
}

// isOwn reports whether something else lies in place of a file of ours.
func isOwn(err error) bool {
	_, ok := errors.AsType[*ownfile.Error](err)
	return ok
}

// fromKeyring reports whether the keyring fails, or a key is missing. These errors are
// looked for first, because what they wrap may look like something else: the missing
// socket of a bus like a missing directory.
func fromKeyring(err error) bool {
	return IsAny(err, keyring.ErrNoKeyring, keyring.ErrKeyringLocked, keyring.ErrTimeout, keyring.ErrKeyLost, tokenstore.ErrSealed)
}

// keyring is Error for these errors. A locked keyring is temporary trouble:
// it passes without a change of settings.
func (g Guide) keyring(err error) *exit.Problem {
	what := Text(err)
	switch {
	case errors.Is(err, keyring.ErrNoKeyring):
		return exit.New(exit.Config, what, "to keep the tokens in a file that is not encrypted, run "+g.plain())
	case errors.Is(err, keyring.ErrKeyringLocked):
		return exit.New(exit.Temporary, what, "unlock it; the same command works once it is unlocked")
	case errors.Is(err, keyring.ErrTimeout):
		return exit.New(exit.Temporary, what, "the same command may work in a moment")
	case errors.Is(err, keyring.ErrKeyLost):
		return exit.New(exit.Config, what, "bring that keyring back; to start over without these sessions, remove the directory "+
			stores.Dir(g.Dir, profile.InKeyring)+" and "+g.LoginAdvice())
	case errors.Is(err, tokenstore.ErrNotSealed):
		return exit.New(exit.Config, fmt.Sprintf("the session of profile %q is not sealed, so this program has not written it", g.Profile), "to replace it, "+g.LoginAdvice())
	}
	return exit.New(exit.Config, fmt.Sprintf("the session of profile %q cannot be opened: its file was changed or comes from another directory, or it is sealed with a key that is not in the OS keyring", g.Profile),
		"bring that keyring back; to start over without the session, "+g.LoginAdvice())
}

// Network is Error for trouble on the way to the server that lasts until a person
// sets something, or returns nil. The session is kept meanwhile.
func Network(err error) *exit.Problem {
	fail, ok := errors.AsType[*oauth.Error](err)
	if !ok || !errors.Is(fail, oauth.ErrProxyAuth) && !errors.Is(fail, oauth.ErrUntrustedCertificate) {
		return nil
	}
	return exit.New(exit.Config, fail.Err.Error(), fail.Hint)
}

// tryAgain says when a temporary failure is worth another try.
func tryAgain(err error) string {
	var fail *oauth.Error
	if errors.As(err, &fail) && !fail.RetryAt.IsZero() {
		return "the server asks to wait until " + fail.RetryAt.Local().Format(time.TimeOnly) + "; try again then"
	}
	return "try again in a moment; the session is kept"
}
