// Package user knows the people who can sign in.
package user

import (
	"maps"
	"sync"

	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// A Directory maps people to their passwords. It is safe for concurrent use.
type Directory struct {
	mu        sync.Mutex // guards passwords
	passwords map[string]string
}

// New returns a directory of these people.
func New(passwords map[string]string) *Directory {
	return &Directory{passwords: maps.Clone(passwords)}
}

// Password returns a person's password.
func (d *Directory) Password(user string) (password string, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	password, known = d.passwords[user]
	return password, known
}

// Knows reports whether user exists.
func (d *Directory) Knows(user string) bool {
	_, known := d.Password(user)
	return known
}

// Is reports whether user exists and has this password.
func (d *Directory) Is(user, password string) bool {
	want, known := d.Password(user)
	return secret.Equal(want, password) && known
}

// Remove takes user out.
func (d *Directory) Remove(user string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.passwords, user)
}
