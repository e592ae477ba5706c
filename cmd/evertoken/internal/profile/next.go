package profile

import (
	"errors"
	"io/fs"
	"os"
)

// A login that changes a profile replaces two files, and may end between them. So it writes
// the new settings beside the old ones, saves the tokens, which say by
// [Profile.Fingerprint] which settings they go with, and puts the new settings in their
// place. A command that finds both settings knows by the tokens which ones count.

func (f File) nextPath() string { return f.Path() + ".new" }

// HasNext reports whether a login has left settings that are to take the profile's place.
func (f File) HasNext() bool {
	_, err := os.Lstat(f.nextPath())
	return err == nil
}

// SaveNext writes settings beside the profile, which stays what it is.
func (f File) SaveNext(p *Profile) error { return f.write(f.nextPath(), p) }

// LoadNext reads the settings that are to take the profile's place, as Load does.
func (f File) LoadNext() (*Profile, error) { return f.load(f.nextPath()) }

// PlaceNext puts those settings, which are p, in the profile's place. A command may have done so
// already.
func (f File) PlaceNext(p *Profile) error {
	if os.Rename(f.nextPath(), f.Path()) == nil {
		return nil
	}
	return f.Save(p)
}

// DropNext removes those settings, if there are any.
func (f File) DropNext() error {
	if err := os.Remove(f.nextPath()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
