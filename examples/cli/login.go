package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"github.com/evertoken/evertoken/oauth"
)

// loginCmd logs a person in and makes the profile remember the server.
type loginCmd struct {
	Issuer     string   `placeholder:"URL" help:"The server, as its metadata names itself, or the well-known address of that metadata."`
	ClientID   string   `placeholder:"ID" help:"The client registered there for this program."`
	SecretFile string   `name:"client-secret-file" placeholder:"FILE" type:"path" help:"File with the client's secret, if it has one. It is read again for every renewal."`
	ClientAuth string   `placeholder:"METHOD" enum:",none,client_secret_basic,client_secret_basic_raw,client_secret_post" default:"" help:"How the client authenticates: none, client_secret_basic, client_secret_basic_raw or client_secret_post (default: as the server wants it)."`
	Scope      []string `placeholder:"SCOPE" help:"What to ask for; repeat it or separate by commas (see --scope-separator for how it is sent). Some servers give a refresh token only for one, such as offline_access."`

	AuthParam map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"What else the browser login sends to the server, such as prompt=consent; repeat it for more. KEY= forgets one."`

	Device      bool   `help:"Log in with a code on another device, for machines without a browser."`
	NoBrowser   bool   `help:"Only print the address to open."`
	RedirectURL string `placeholder:"URL" help:"Loopback address to return to, if the server wants a registered one (default: a free port)."`
	Store       string `placeholder:"WHERE" enum:",keyring,file" default:"" help:"Where to keep the tokens: keyring (files sealed with a key in the OS keyring) or file (readable by whoever can read your files). Default: $$EVERTOKEN_STORE, or what the profile remembers, or keyring."`
	KeepOld     bool   `help:"Do not end the old session of the profile at the server."`

	mannersFlags

	AuthURL       string `group:"Instead of what the server publishes" placeholder:"URL" help:"Authorization endpoint."`
	TokenURL      string `group:"Instead of what the server publishes" placeholder:"URL" help:"Token endpoint."`
	DeviceAuthURL string `group:"Instead of what the server publishes" placeholder:"URL" help:"Device authorization endpoint."`
	RevocationURL string `group:"Instead of what the server publishes" placeholder:"URL" help:"Revocation endpoint."`
}

// Help is shown below the command's flags.
func (loginCmd) Help() string {
	return `What the profile remembers from the last login need not be given again; --preset=, --lifetime 0 and --no-pkce=false, say, forget it. An old session is ended at the server once the new one is saved. Should the server end both, which is found out by asking it who has logged in, you log in once more, and from then on old sessions are left alone there.`
}

// Run logs in. Whatever can go wrong without the person goes wrong before the
// person is bothered.
func (c *loginCmd) Run(ctx context.Context, a *app) error {
	old, err := a.loadProfile()
	if err != nil && c.ClientID == "" {
		return c.unknownServer(a, err)
	}
	kind, err := c.store(a, old)
	if err != nil {
		return err
	}
	known := c.known(old)
	manners, err := c.over(known.manners)
	if err != nil {
		return err
	}
	client, secretFile, err := c.client(ctx, a, known, manners)
	if err != nil {
		return c.explain(err)
	}
	profile := profileOf(client.Config(), secretFile)
	profile.KeepOld, profile.Store, profile.manners = known.KeepOld, kind, manners
	store, err := a.openStore(ctx, profile)
	if err != nil {
		return err
	}
	if err := a.checkRoom(ctx, store); err != nil {
		return err
	}
	pair, err := c.authenticate(ctx, client)
	if err != nil {
		return c.explain(err)
	}
	// From here on the person has done his part: a signal must not undo it.
	following := context.WithoutCancel(ctx)
	replaced, err := a.saveLogin(following, store, old, profile, pair)
	if err != nil {
		return err
	}
	a.announce(store, profile, pair, c.advice(client))
	if copied := a.removeCopy(following, otherStore(kind)); copied != nil && (profile.moves(old) || replaced.Tokens == nil) {
		replaced = copied
	}
	if c.KeepOld || profile.KeepOld || !a.endOld(following, old, replaced, client, pair) {
		return nil
	}
	return c.onceMore(ctx, a, client, store, profile)
}

// onceMore logs in anew after the server has ended the new session together with
// the old one, and leaves what it replaces alone.
func (c *loginCmd) onceMore(ctx context.Context, a *app, client *oauth.Client, store *boundStore, profile *profile) error {
	a.warn("The server ended the new session together with the old one (it keeps one for each person). Logging in once more; from now on the old session is left alone.")
	// Now, so that the next login knows even if this one fails.
	profile.KeepOld = true
	if err := a.saveProfile(profile); err != nil {
		return unsavedLogin(err)
	}
	pair, err := c.authenticate(ctx, client)
	if err != nil {
		p := a.explain(c.explain(err))
		return &problem{exitLogin, "no session is left, and logging in once more failed: " + p.what, a.loginAdvice()}
	}
	if _, err := a.saveLogin(context.WithoutCancel(ctx), store, profile, profile, pair); err != nil {
		return err
	}
	a.announce(store, profile, pair, c.advice(client))
	return nil
}

// unknownServer is the error for a login that does not say where to.
func (c *loginCmd) unknownServer(a *app, err error) error {
	if errors.Is(err, errNoProfile) {
		return &problem{exitUsage, fmt.Sprintf("profile %q does not know its server yet", a.profile), "run " + a.loginCommand(true)}
	}
	return err
}

// store returns where to keep the tokens. A profile's choice stands, also for
// another server: it is about this machine.
func (c *loginCmd) store(a *app, old *profile) (string, error) {
	kind := cmp.Or(c.Store, a.getenv("EVERTOKEN_STORE"))
	switch {
	case kind == storeKeyring, kind == storeFile:
		return kind, nil
	case kind != "":
		return "", usage(fmt.Errorf("EVERTOKEN_STORE is %q: set it to %s or %s", kind, storeKeyring, storeFile))
	case old != nil:
		return old.store(), nil
	}
	return storeKeyring, nil
}

// known returns what the profile, if there is one, remembers of the server and
// client to log in with. Another server or another client shares nothing with it.
func (c *loginCmd) known(old *profile) *profile {
	if old != nil && old.isOf(cmp.Or(c.Issuer, old.Issuer)) && cmp.Or(c.ClientID, old.ClientID) == old.ClientID &&
		cmp.Or(c.TokenURL, old.TokenURL) == old.TokenURL {
		return old
	}
	return &profile{}
}

// client builds the client from the flags, and from what is known for what they
// leave out.
func (c *loginCmd) client(ctx context.Context, a *app, p *profile, m manners) (*oauth.Client, string, error) {
	cfg := oauth.Config{
		ClientID:      cmp.Or(c.ClientID, p.ClientID),
		AuthURL:       c.AuthURL,
		TokenURL:      c.TokenURL,
		DeviceAuthURL: c.DeviceAuthURL,
		RevocationURL: c.RevocationURL,
		RedirectURL:   cmp.Or(c.RedirectURL, p.RedirectURL),
		Scopes:        c.scopes(p.Scopes),
		AuthParams:    c.authParams(p.AuthParams),
		Output:        a.stderr,
	}
	m.apply(&cfg)
	secretFile := cmp.Or(c.SecretFile, p.SecretFile)
	secret, err := readSecret(secretFile)
	if err != nil {
		return nil, "", err
	}
	authenticate(&cfg, cmp.Or(c.ClientAuth, p.ClientAuth), secret)
	if c.NoBrowser {
		cfg.OpenBrowser = func(context.Context, string) error { return nil }
	}
	if isTerminal(a.stdin) {
		cfg.ReadRedirect = lineReader(a.stdin)
	}
	client, err := c.reach(ctx, cfg, p)
	return client, secretFile, err
}

// reach finds the endpoints. Without an issuer they must have been named, now or
// at the last login.
func (c *loginCmd) reach(ctx context.Context, cfg oauth.Config, p *profile) (*oauth.Client, error) {
	if issuer := cmp.Or(c.Issuer, p.Issuer); issuer != "" {
		return oauth.Discover(ctx, issuer, cfg)
	}
	cfg.AuthURL = cmp.Or(cfg.AuthURL, p.AuthURL)
	cfg.TokenURL = cmp.Or(cfg.TokenURL, p.TokenURL)
	cfg.DeviceAuthURL = cmp.Or(cfg.DeviceAuthURL, p.DeviceAuthURL)
	cfg.RevocationURL = cmp.Or(cfg.RevocationURL, p.RevocationURL)
	if cfg.TokenURL == "" {
		return nil, &problem{exitUsage, "no server named", "add --issuer URL, or --auth-url and --token-url"}
	}
	return oauth.NewClient(cfg), nil
}

// scopes returns what to ask for. A flag may hold several, by spaces too.
func (c *loginCmd) scopes(remembered []string) []string {
	if len(c.Scope) == 0 {
		return remembered
	}
	return strings.Fields(strings.Join(c.Scope, " "))
}

// authParams returns what to add to the authorization request. A flag replaces
// what is remembered under its name. Without a value it forgets that, since such
// a parameter counts as omitted (RFC 6749 section 3.1).
func (c *loginCmd) authParams(remembered url.Values) url.Values {
	params := make(url.Values)
	maps.Copy(params, remembered)
	for name, value := range c.AuthParam {
		params.Set(name, value)
		if value == "" {
			params.Del(name)
		}
	}
	return params
}

func (c *loginCmd) authenticate(ctx context.Context, client *oauth.Client) (*oauth.TokenPair, error) {
	if c.Device {
		return client.DeviceLogin(ctx)
	}
	return client.Authenticate(ctx)
}

// advice returns what a login would have to ask for to get a refresh token. A login
// on another device has no parameters.
func (c *loginCmd) advice(client *oauth.Client) oauth.OfflineAccess {
	advice := client.OfflineAdvice()
	if c.Device {
		advice.Params = ""
	}
	return advice
}

// explain finds the next step after a login that failed.
func (c *loginCmd) explain(err error) error {
	switch {
	case networkSettings(err) != nil:
		return networkSettings(err)
	case errors.Is(err, oauth.ErrAccessDenied):
		return &problem{exitLogin, "the login was refused", "log in again and allow it, or ask for other scopes with --scope (some servers say so when one is missing or unknown), or ask the server's administrator"}
	case errors.Is(err, oauth.ErrCodeExpired):
		return &problem{exitLogin, "the code was not entered in time", "run the command again"}
	case errors.Is(err, context.Canceled):
		return &problem{exitFailed, "the login was stopped", "run the command again, with --device if the browser could not come back"}
	case errors.Is(err, oauth.ErrLoginRequired):
		return &problem{exitLogin, plainText(err), "run the command again"}
	case errors.Is(err, oauth.ErrUnreadAnswer), errors.Is(err, oauth.ErrNoToken):
		return &problem{exitConfig, plainText(err), "if the tokens are below one of its members, run the command again with --token-path NAME; otherwise see that --token-url is the token endpoint of this server"}
	case errors.Is(err, syscall.EADDRINUSE):
		return &problem{exitTemporary, plainText(err), "then run the command again"}
	case errors.Is(err, oauth.ErrTransient):
		return &problem{exitTemporary, plainText(err), "check the network, then run the command again"}
	}
	return err
}

// lineReader returns a function that reads what the person pastes, line by line.
// A read of a terminal cannot be stopped: it outlives the login that began it, and
// the next login gets the line.
func lineReader(r io.Reader) func(context.Context) (string, error) {
	lines := make(chan string)
	start := sync.OnceFunc(func() {
		go func() {
			defer close(lines)
			in := bufio.NewReader(r)
			for {
				text, err := in.ReadString('\n')
				if text != "" {
					lines <- text
				}
				if err != nil {
					return
				}
			}
		}()
	})
	return func(ctx context.Context) (string, error) {
		start()
		select {
		case text, ok := <-lines:
			if !ok {
				return "", io.EOF
			}
			return text, nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}
