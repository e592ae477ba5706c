package keyring

import (
	"os"
	"os/user"
	"path/filepath"
	"runtime"

	"github.com/evertoken/evertoken/tokenstore"
)

// A keyring belongs to a user, and it has no locks. The locks are files, and they
// have to be the same ones for all processes that see the same keyring: those of
// one user with other settings, another $HOME or another $XDG_STATE_HOME too.
// Otherwise two of them would hold "the" lock and spend one refresh token twice.

// locks are the locks on what a service has in the keyring of a user.
type locks struct {
	leases *tokenstore.File // by session: its holder may spend the refresh token
	writes *tokenstore.File // by session: its holder may change the items
	items  *tokenstore.File // by item: its holder may change one that sessions share
}

// openLocks opens the locks below root. No sessions are ever in these stores.
func openLocks(root, service string) (*locks, error) {
	dir := filepath.Join(root, service)
	var l locks
	for name, store := range map[string]**tokenstore.File{"leases": &l.leases, "writes": &l.writes, "items": &l.items} {
		f, err := tokenstore.NewFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		*store = f
	}
	return &l, nil
}

// lockRoot returns the directory for locks: below the home that the system's user
// database names, whatever the environment says. Only users who have none there,
// as in some containers, get one below $HOME.
func lockRoot() (string, error) {
	if u, err := user.Current(); err == nil && isDir(u.HomeDir) {
		return lockRootIn(u.HomeDir), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return lockRootIn(home), nil
}

func lockRootIn(home string) string {
	state := filepath.Join(".local", "state")
	switch runtime.GOOS {
	case "windows":
		state = filepath.Join("AppData", "Local")
	case "darwin", "ios":
		state = filepath.Join("Library", "Application Support")
	}
	return filepath.Join(home, state, "evertoken", "keyring-locks")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
