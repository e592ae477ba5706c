package keyring

import (
	"context"
	"errors"
	"fmt"

	gokeyring "github.com/zalando/go-keyring"
)

// A ring is an OS keyring. Only state minds its context: the other calls may
// block for ever, and any may panic. A guard stands before it.
type ring interface {
	// get returns errNoItem if there is no such item, and so does remove.
	get(service, item string) (string, error)
	set(service, item, value string) error
	remove(service, item string) error
	// state never asks a person. Without a keyring it fails with ErrNoKeyring.
	state(ctx context.Context) (state, error)
	// person reports whether a person could answer if the keyring asks.
	person() bool
}

// A state says whether a keyring would ask a person first.
type state int

const (
	open state = iota
	locked
	unknown // there is no way to tell without asking
)

// system is the keyring of the user, by way of go-keyring. Its DeleteAll is not
// used: on Windows it removes the items of every service whose name begins with
// this one's and a colon.
type system struct{}

func (system) get(service, item string) (string, error) {
	value, err := gokeyring.Get(service, item)
	return value, translate(err)
}

func (system) set(service, item, value string) error {
	return translate(gokeyring.Set(service, item, value))
}

func (system) remove(service, item string) error {
	return translate(gokeyring.Delete(service, item))
}

func (system) state(ctx context.Context) (state, error) { return probe(ctx) }

func (system) person() bool { return !inCI() && personHere() }

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gokeyring.ErrNotFound):
		return errNoItem
	case errors.Is(err, gokeyring.ErrUnsupportedPlatform):
		return fmt.Errorf("%w: %w", ErrNoKeyring, err)
	case needsPerson(err):
		return fmt.Errorf("%w: %w", ErrKeyringLocked, err)
	}
	return fmt.Errorf("the OS keyring refused: %w", err)
}
