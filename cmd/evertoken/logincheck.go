package main

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
)

// check finds what a login lacks before anything is asked of the network.
func (c *loginCmd) check(a *app, known *profile.Profile) error {
	return cmp.Or(c.addresses(a), c.named(a, known), c.positive(), c.attended(a))
}

// named requires a server and a client to log in with.
func (c *loginCmd) named(a *app, known *profile.Profile) error {
	server := cmp.Or(c.Issuer, c.TokenURL, known.Issuer, known.TokenURL) != ""
	client := cmp.Or(c.ClientID, known.ClientID) != ""
	switch others := a.others(); {
	case !server && !client && len(others) > 0:
		return exit.New(exit.Usage, fmt.Sprintf("profile %q does not know its server yet, and others do: %s", a.Profile, strings.Join(others, ", ")), "run "+a.loginCommand(true))
	case !server && !client:
		return exit.New(exit.Usage, fmt.Sprintf("profile %q does not know its server yet", a.Profile), "run "+a.loginCommand(true))
	case !server:
		return exit.New(exit.Usage, "no server named", "run "+a.loginCommand(true)+", or name its --auth-url and --token-url")
	case !client:
		return exit.New(exit.Usage, "--client-id is missing", "register a program at the server, which gives it an ID, then run "+a.loginCommand(true))
	}
	return nil
}

// addresses refuses the address of a server's metadata in the place of an endpoint's.
func (c *loginCmd) addresses(a *app) error {
	for _, flag := range [][2]string{{"--auth-url", c.AuthURL}, {"--token-url", c.TokenURL}, {"--device-auth-url", c.DeviceAuthURL}, {"--revocation-url", c.RevocationURL}} {
		if strings.Contains(flag[1], "/.well-known/") {
			a.server, a.typed = cmp.Or(a.server, flag[1]), without(a.typed, flag[0])
			return exit.New(exit.Usage, flag[0]+" is the address of the server's metadata, not an endpoint",
				"the metadata names the endpoints, so run "+a.loginCommand(true))
		}
	}
	if c.Issuer != "" && !strings.Contains(c.Issuer, "://") {
		a.server = "https://" + c.Issuer
		return exit.New(exit.Usage, "--issuer is not a whole address", "run "+a.loginCommand(true))
	}
	return nil
}

// choices refuses a store, and a way to authenticate, that there is not.
func (c *loginCmd) choices() error {
	if !slices.Contains([]string{"", profile.InKeyring, profile.InFiles}, c.Store) {
		return exit.Misuse(fmt.Errorf("--store: got %q, want %s or %s", c.Store, profile.InKeyring, profile.InFiles))
	}
	methods := []string{"none", "client_secret_basic", "client_secret_basic_raw", "client_secret_post"}
	if c.ClientAuth != "" && !slices.Contains(methods, c.ClientAuth) {
		return exit.Misuse(fmt.Errorf("--client-auth: got %q, want one of %s", c.ClientAuth, strings.Join(methods, ", ")))
	}
	return nil
}

// positive refuses a time that would be over at once.
func (c *loginCmd) positive() error {
	if c.Timeout <= 0 {
		return exit.Misuse(errors.New("--timeout must be more than 0"))
	}
	return nil
}

// attended refuses to wait for a person where none can be: in a CI job, and where
// there is neither a terminal nor a display. A browser that BROWSER names counts as
// one; --device and --no-browser say that a person reads the output elsewhere.
func (c *loginCmd) attended(a *app) error {
	switch ci := a.getenv("CI"); {
	case ci != "" && ci != "false" && ci != "0":
		return exit.New(exit.Login, "a login needs a person, and this is a CI job (CI is set)",
			"give the job a client of its own that logs in with a secret (client credentials); if a person does follow the output, unset CI and run "+a.loginCommand(false, "--device"))
	case c.Device, c.NoBrowser, terminal.Is(a.stdin), terminal.Is(a.stderr), hasDisplay(runtime.GOOS, a.getenv):
		return nil
	}
	return exit.New(exit.Login, "a login needs a person, and there is neither a terminal nor a display here",
		"run "+a.loginCommand(false)+" in a terminal; if a person follows the output, run "+a.loginCommand(false, "--device"))
}

// hasDisplay reports whether a browser can be shown.
func hasDisplay(goos string, getenv func(string) string) bool {
	switch goos {
	case "windows", "darwin":
		return true
	}
	return cmp.Or(getenv("BROWSER"), getenv("DISPLAY"), getenv("WAYLAND_DISPLAY")) != ""
}
