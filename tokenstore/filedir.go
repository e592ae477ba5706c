package tokenstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// DefaultDir returns the directory for sessions of programs that have no better
// place, without creating it: evertoken under $XDG_STATE_HOME or ~/.local/state
// on Unix, under ~/Library/Application Support on macOS, and under
// %LocalAppData% on Windows. These stay on the machine: in a directory of
// settings, which people copy and roll back, a refresh token that was already
// spent would come back one day. Programs with a name of their own add it:
//
//	dir, err := tokenstore.DefaultDir()
//	store, err := tokenstore.NewFile(filepath.Join(dir, "myprogram"))
//
// It fails if the environment does not tell where the user's home is.
func DefaultDir() (string, error) {
	parent, err := stateHome()
	if err != nil {
		return "", fmt.Errorf("tokenstore: no default directory, choose one: %w", err)
	}
	return filepath.Join(parent, "evertoken"), nil
}

func stateHome() (string, error) {
	switch runtime.GOOS {
	case "windows":
		return os.UserCacheDir() // %LocalAppData%
	case "darwin", "ios":
		return os.UserConfigDir() // ~/Library/Application Support
	}
	// The XDG Base Directory Specification says to ignore relative paths.
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(home) {
		return "", errors.New("$HOME is not an absolute path")
	}
	return filepath.Join(home, ".local", "state"), nil
}

// openDir creates dir if need be, and returns its real path. Two spellings of
// one directory thus mean the same files, and a link that is pointed elsewhere
// later moves no session.
func openDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("no directory given")
	}
	if err := ownfile.CheckParents(dir); err != nil {
		return "", advise(err) // before anything is made there
	}
	if err := makeDir(dir); err != nil {
		return "", advise(err)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", advise(err)
	}
	return dir, advise(ownfile.CheckPlace(dir))
}

// makeDir creates dir, and on Unix makes sure that it outlives a crash like the
// records in it.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}
