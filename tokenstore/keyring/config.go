package keyring

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

const (
	// A keyring that works answers within milliseconds, and within a fraction of a
	// second if its service has to start first. Databricks gives it as long.
	defaultTimeout = 3 * time.Second
	// The GitHub CLI began with three seconds, in which people could not type a
	// password, and arrived at a minute (cli/cli#13787).
	defaultPromptTimeout = time.Minute
)

// Config says which keyring items are the program's, and how long to wait for them.
type Config struct {
	// Service is the program's name in the keyring, such as "evertoken". Programs
	// with the same one share their sessions. It consists of letters, digits and
	// the characters . _ - and has at most 64 bytes: that much is safe in a
	// directory's name, on a command line and in the item names of every system.
	// Required.
	Service string

	// Dir is the directory that [Open] keeps the sealed sessions in. Default: the
	// directory called Service in [tokenstore.DefaultDir]. [OpenDirect] ignores it.
	Dir string

	// Timeout is how long a call of the keyring may take while no person has to
	// be asked. One operation of a store makes several. Default: 3 seconds.
	Timeout time.Duration

	// PromptTimeout is how long a person may take to unlock a locked keyring. It
	// applies where one can be asked: there is a display, or on macOS no SSH
	// session, and the variable CI is not set. Otherwise a locked keyring fails at
	// once. Default: 60 seconds. Negative: no person is ever asked.
	PromptTimeout time.Duration
}

// withDefaults returns a copy of c that is complete and valid.
func (c Config) withDefaults() (Config, error) {
	if err := checkService(c.Service); err != nil {
		return c, err
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.PromptTimeout == 0 {
		c.PromptTimeout = defaultPromptTimeout
	}
	return c, nil
}

func checkService(service string) error {
	switch {
	case service == "":
		return errors.New("keyring: Config.Service is required: give the program's name")
	case len(service) > 64 || strings.HasPrefix(service, ".") || strings.Trim(service, serviceLetters) != "":
		return fmt.Errorf("keyring: Config.Service %q cannot be used: give at most 64 letters, digits and . _ -, not beginning with a dot", service)
	}
	return nil
}

// dir returns the directory for the sealed sessions.
func (c Config) dir() (string, error) {
	if c.Dir != "" {
		return c.Dir, nil
	}
	parent, err := tokenstore.DefaultDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(parent, c.Service), nil
}
