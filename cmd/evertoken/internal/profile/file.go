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
	"github.com/evertoken/evertoken/internal/ownfile"
	"github.com/evertoken/evertoken/oauth/dialect"
)

// A File is where one profile is remembered.
type File struct {
	Dir  string // of the sessions; every other file in it is a session
	Name string // of the profile
}

var (
	// ErrNone means that no login has made this profile yet.
	ErrNone = errors.New("this profile is not set up")
	// ErrDamaged means that no login has written the file.
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
	_, err := os.Lstat(f.Path())
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
func (f File) Load() (*Profile, error) { return f.load(f.Path()) }

func (f File) load(path string) (*Profile, error) {
	data, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, f.none()
	case err != nil:
		return nil, err
	}
	var p Profile
	err = json.Unmarshal(data, &p)
	_, foreign := errors.AsType[*dialect.ParseError](err) // a member of a later version's
	switch {
	case foreign:
		return nil, fmt.Errorf("%s %w (%w)", path, ErrNewer, err)
	case err != nil || !p.whole():
		return nil, fmt.Errorf("%s %w", path, ErrDamaged)
	case p.Format > Format, !p.Known(), p.Kind() != InFiles && p.Kind() != InKeyring:
		return nil, fmt.Errorf("%s %w", path, ErrNewer)
	}
	return &p, nil
}

// none returns the error for a profile that is not there: ErrNone, unless it cannot be looked
// for because its directory is a link to what is not there, such as a disk that is not mounted.
func (f File) none() error {
	for dir := f.Dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return ErrNone
		}
		if link, err := os.Lstat(dir); err == nil && link.Mode()&fs.ModeSymlink != 0 {
			return exit.New(exit.Temporary, dir+" leads to a directory that is not there",
				"mount or make it, or choose another directory with --dir or EVERTOKEN_DIR")
		}
	}
}

// whole reports whether there is a server to ask.
func (p *Profile) whole() bool {
	if p.Backend != nil {
		return p.Backend.URL != ""
	}
	return p.ClientID != "" && p.TokenURL != ""
}

// read reads a profile's file, which says where tokens are sent: nothing else that may be
// in its place, and none that other users may write to.
func read(path string) ([]byte, error) {
	err := ownfile.CheckPlace(filepath.Dir(path))
	var data []byte
	if err == nil {
		data, err = ownfile.ReadUnshared(path)
	}
	if own, ok := errors.AsType[*ownfile.Error](err); ok {
		next := own.Advice
		if strings.HasSuffix(next, ownfile.AnotherDirectory) {
			next += " with --dir or EVERTOKEN_DIR"
		}
		return nil, exit.New(exit.Config, own.What, next)
	}
	if errors.Is(err, ownfile.ErrTooLarge) {
		return nil, fmt.Errorf("%s %w", path, ErrDamaged)
	}
	return data, err
}

// Save writes the profile, whole or not at all. A successor that waits is over.
func (f File) Save(p *Profile) error {
	err := f.write(f.Path(), p)
	if err == nil {
		_ = f.DropNext() // no tokens go with what stays
	}
	return err
}

func (f File) write(path string, p *Profile) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return replaceFile(path, append(data, '\n'))
}

// Check finds out whether the profile could be saved, by replacing what is there by
// itself.
func (f File) Check() error {
	path := f.Path()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if _, err := read(f.nextPath()); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
		return err
	}
	data, err := read(path)
	switch {
	case err == nil:
		return replaceFile(path, data)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged):
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
