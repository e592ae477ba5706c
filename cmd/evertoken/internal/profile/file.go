package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
)

// A File is where one profile is remembered.
type File struct {
	Dir  string // of the sessions; every other file in it is a session
	Name string // of the profile
}

var (
	// ErrNone means that no login has made this profile yet.
	ErrNone = errors.New("this profile is not set up")
	// ErrDamaged means that the file is none that a login has written.
	ErrDamaged = errors.New("is damaged")
	// ErrNewer means that a later version has written the file.
	ErrNewer = errors.New("was written by a newer version")
)

const (
	below  = "profiles" // the directory, so that no file is taken for a session
	prefix = "client-"
	suffix = ".json"
)

// Path returns the file's path.
func (f File) Path() string { return filepath.Join(f.Dir, below, prefix+f.Name+suffix) }

// Exists reports whether there is such a profile.
func (f File) Exists() bool {
	_, err := os.Stat(f.Path())
	return err == nil
}

// Names lists the profiles below dir in order.
func Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, below))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries {
		name, is := strings.CutSuffix(entry.Name(), suffix)
		name, was := strings.CutPrefix(name, prefix)
		if is && was && CheckName(name) == nil {
			names = append(names, name)
		}
	}
	return names, err
}

// Load reads the profile. The error wraps ErrNone, ErrDamaged or ErrNewer, or is
// that of reading.
func (f File) Load() (*Profile, error) {
	data, err := readRegular(f.Path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ErrNone
	case err != nil:
		return nil, err
	}
	var p Profile
	switch err := json.Unmarshal(data, &p); {
	case err != nil || p.ClientID == "" || p.TokenURL == "":
		return nil, fmt.Errorf("%s %w", f.Path(), ErrDamaged)
	case p.Format > Format, !p.Known(), p.Kind() != InFiles && p.Kind() != InKeyring:
		return nil, fmt.Errorf("%s %w", f.Path(), ErrNewer)
	}
	return &p, nil
}

// readRegular reads a file, and nothing else that may be in its place: reading a
// named pipe waits for a process at its other end.
func readRegular(path string) ([]byte, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, exit.New(exit.Config, path+" is not a file", "move it away")
	}
	return os.ReadFile(path)
}

// Save writes the profile, whole or not at all.
func (f File) Save(p *Profile) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.Path()), 0o700); err != nil {
		return err
	}
	return replaceFile(f.Path(), append(data, '\n'))
}

// Check finds out whether the profile could be saved, by replacing what is there by
// itself.
func (f File) Check() error {
	path := f.Path()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	data, err := readRegular(path)
	switch {
	case err == nil:
		return replaceFile(path, data)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	trial := path + ".tmp-trial"
	if err := replaceFile(trial, []byte("{}\n")); err != nil {
		return err
	}
	return os.Remove(trial)
}

// replaceFile writes a file of mode 0600 so that others see the old content or
// the new one.
func replaceFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
