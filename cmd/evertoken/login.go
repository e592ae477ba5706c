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
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
	"github.com/evertoken/evertoken/oauth"
)

// loginCmd logs a person in and makes the profile remember the server.
type loginCmd struct {
	Issuer     string   `placeholder:"URL" help:"The server, as its metadata names itself, or the well-known address of that metadata."`
	ClientID   string   `placeholder:"ID" help:"The client registered there for this program."`
	SecretFile *string  `name:"client-secret-file" placeholder:"FILE" help:"File with the client's secret, if it has one. It is read again for every renewal. --client-secret-file= forgets it."`
	ClientAuth string   `placeholder:"METHOD" help:"How the client authenticates: none, client_secret_basic, client_secret_basic_raw or client_secret_post (default: as the server wants it)."`
	Scope      []string `placeholder:"SCOPE" help:"What to ask for; repeat it or separate by commas (see --scope-separator for how it is sent). Some servers give a refresh token only for one, such as offline_access."`

	API []string `name:"api" placeholder:"URL" help:"An API that gets the access token; repeat it for more. \"evertoken get\" sends it to these, to the server itself, and otherwise asks. --api= forgets them."`

	AuthParam map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"What else the browser login sends to the server, such as prompt=consent; repeat it for more. KEY= forgets one."`

	Timeout     time.Duration `default:"10m" placeholder:"D" help:"How long to wait for the person to log in (default ${default})."`
	Device      bool          `help:"Log in with a code on another device, for machines without a browser."`
	NoBrowser   bool          `help:"Only print the address to open."`
	RedirectURL string        `placeholder:"URL" help:"Loopback address to return to, if the server wants a registered one (default: a free port)."`
	Store       string        `placeholder:"WHERE" help:"Where to keep the tokens: keyring (files sealed with a key in the OS keyring) or file (readable by any program that can read your files). Default: $$EVERTOKEN_STORE, or what the profile remembers, or keyring."`
	KeepOld     bool          `help:"Do not end the old session of the profile at the server."`

	backendFlags
	mannersFlags
	presentFlags

	AuthURL       string `group:"Instead of what the server publishes" placeholder:"URL" help:"Authorization endpoint."`
	TokenURL      string `group:"Instead of what the server publishes" placeholder:"URL" help:"Token endpoint."`
	DeviceAuthURL string `group:"Instead of what the server publishes" placeholder:"URL" help:"Device authorization endpoint."`
	RevocationURL string `group:"Instead of what the server publishes" placeholder:"URL" help:"Revocation endpoint."`
}

// Help is shown below the command's flags.
func (loginCmd) Help() string {
	return `Where the server lists the scopes openid and offline_access and --scope is not given, login asks for them, and for consent (--auth-param prompt=consent), so that the session can be renewed and says who has logged in. What the profile remembers from the last login need not be given again; --preset=, --lifetime 0 and --no-pkce=false, say, forget it. An old session is ended at the server once the new one is saved. Should the server end both, which is found out by asking it who has logged in, you log in once more, and from then on old sessions are left alone there.

A backend that does not speak OAuth is logged in to by user name and password. They go to it and are not kept; the profile keeps the user name and the dialect, whole, so that a later change of a file does not change a session. Passwords are never taken from the command line, which other users can see. Tokens are never sent in an address, since addresses stay in logs and histories: a backend that wants that cannot be used.

` + example("login --issuer https://login.example.com --client-id my-cli", "login --profile work --issuer https://login.example.com --client-id my-cli --device",
		"login --issuer https://login.example.com --client-id my-cli --api https://api.example.com --api https://files.example.com",
		"login --dialect kratos --url https://api.example.com --username alice", "login --dialect ours.yaml --url https://api.example.com --field otp")
}

// Run logs in. It looks for everything that can fail without the person before it asks
// the person to log in.
func (c *loginCmd) Run(ctx context.Context, a *app) error {
	if err := c.choices(); err != nil {
		return err
	}
	a.server, a.client = c.Issuer, c.ClientID
	old, err := a.loadProfile()
	if err != nil && !errors.Is(err, profile.ErrNone) && c.ClientID == "" {
		return err
	}
	if old != nil {
		old = a.settled(ctx, old)
	}
	if old, err = c.unedited(ctx, a, old); err != nil {
		return err
	}
	if err := c.misplaced(c.speaks(old)); err != nil {
		return err
	}
	if c.speaks(old) {
		return c.backendLogin(ctx, a, old)
	}
	known := c.known(old)
	if err := c.check(a, known); err != nil {
		return err
	}
	kind, err := c.store(a, old)
	if err != nil {
		return err
	}
	manners, err := c.over(known.Manners)
	if err != nil {
		return err
	}
	p, client, err := c.connect(ctx, a, known, manners)
	if err != nil {
		return err
	}
	p.Store = kind
	store, err := c.openStore(ctx, a, p)
	if err != nil {
		return err
	}
	if err := a.checkRoom(ctx, store); err != nil {
		return err
	}
	pair, err := c.authenticate(ctx, client)
	if err != nil {
		return c.explain(a, err)
	}
	return c.finish(ctx, a, login{client, store, old, p}, pair)
}

// A login is what a person has logged in with.
type login struct {
	client *oauth.Client
	store  *stores.Bound
	old    *profile.Profile // what the profile was, or nil
	new    *profile.Profile
}

// finish saves what a login has brought, and ends what it replaces.
func (c *loginCmd) finish(ctx context.Context, a *app, l login, pair *oauth.TokenPair) error {
	// The person has done his part: from here on a signal must not undo it.
	following := context.WithoutCancel(ctx)
	replaced, err := a.saveLogin(following, l.store, l.old, l.new, pair)
	if err != nil {
		return err
	}
	a.server, a.client, a.typed = "", "", nil // the profile remembers them now
	a.announce(l.store, l.new, pair, a.loginFor(c.advice(l.client), l.new.Scopes))
	if copied := a.removeCopy(following, stores.Other(l.new.Kind())); copied != nil && (l.new.Moves(l.old) || replaced.Tokens == nil) {
		replaced = copied
	}
	if c.KeepOld || l.new.KeepOld || !a.endOld(following, l.old, replaced, l.client, pair) {
		return nil
	}
	return c.onceMore(ctx, a, l)
}

// onceMore logs in anew after the server has ended the new session together with
// the old one, and leaves what it replaces alone.
func (c *loginCmd) onceMore(ctx context.Context, a *app, l login) error {
	a.warn("The server ended the new session together with the old one (it keeps one for each person). Logging in once more; from now on the old session is left alone.")
	// Now, so that the next login knows even if this one fails.
	l.new.KeepOld = true
	if err := a.saveProfile(l.new); err != nil {
		return unsavedLogin(err)
	}
	pair, err := c.authenticate(ctx, l.client)
	if err != nil {
		p := a.explain(c.explain(a, err))
		return exit.New(exit.Login, "no session is left, and logging in once more failed: "+p.What, a.guide().LoginAdvice())
	}
	if _, err := a.saveLogin(context.WithoutCancel(ctx), l.store, l.new, l.new, pair); err != nil {
		return err
	}
	a.announce(l.store, l.new, pair, a.loginFor(c.advice(l.client), l.new.Scopes))
	return nil
}

// store returns where to keep the tokens. A profile's choice stands, also for
// another server: it is about this machine.
func (c *loginCmd) store(a *app, old *profile.Profile) (string, error) {
	kind := cmp.Or(c.Store, a.getenv("EVERTOKEN_STORE"))
	switch {
	case kind == profile.InKeyring, kind == profile.InFiles:
		return kind, nil
	case kind != "":
		return "", exit.Misuse(fmt.Errorf("EVERTOKEN_STORE: got %q, want %s or %s", kind, profile.InKeyring, profile.InFiles))
	case old != nil:
		return old.Kind(), nil
	}
	return profile.InKeyring, nil
}

// openStore opens the store that the new login is saved in.
func (c *loginCmd) openStore(ctx context.Context, a *app, p *profile.Profile) (*stores.Bound, error) {
	store, err := a.openStore(ctx, p)
	if err == nil {
		store.NamesAPIs = c.API != nil
	}
	return store, err
}

// remember makes a profile remember what the flags for any kind of server and the last login
// tell.
func (c *loginCmd) remember(p, last *profile.Profile) error {
	var err error
	if p.APIs, err = c.apisOf(last.APIs); err != nil {
		return err
	}
	return c.presentFlags.remember(p, last)
}

// known returns what the profile, if there is one, remembers of the server and
// client to log in with. Another server or another client shares nothing with it.
func (c *loginCmd) known(old *profile.Profile) *profile.Profile {
	if old != nil && old.IsOf(cmp.Or(c.Issuer, old.Issuer)) && cmp.Or(c.ClientID, old.ClientID) == old.ClientID &&
		cmp.Or(c.TokenURL, old.TokenURL) == old.TokenURL {
		return old
	}
	return &profile.Profile{}
}

// connect returns the client, and what to remember of it and of the server.
func (c *loginCmd) connect(ctx context.Context, a *app, known *profile.Profile, m profile.Manners) (*profile.Profile, *oauth.Client, error) {
	told := new(profile.Profile)
	if err := c.remember(told, known); err != nil {
		return nil, nil, err
	}
	client, secretFile, err := c.client(ctx, a, known, m)
	if err != nil {
		return nil, nil, c.explain(a, err)
	}
	p := profile.Of(client.Config(), secretFile)
	p.KeepOld, p.Manners, p.Presentation, p.Grace, p.APIs = known.KeepOld, m, told.Presentation, told.Grace, told.APIs
	return p, client, nil
}

// client builds the client from the flags, and from what is known for what they
// leave out. It also returns the path of the client's secret.
func (c *loginCmd) client(ctx context.Context, a *app, p *profile.Profile, m profile.Manners) (*oauth.Client, string, error) {
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
	m.Apply(&cfg)
	secretFile, method := p.SecretFile, p.ClientAuth
	if c.SecretFile != nil {
		if secretFile = absolute(*c.SecretFile); secretFile == "" {
			method = "" // which may need the secret that is forgotten
		}
	}
	secret, err := profile.ReadSecret(secretFile)
	if err != nil {
		return nil, "", err
	}
	profile.Authenticate(&cfg, cmp.Or(c.ClientAuth, method), secret)
	if c.NoBrowser {
		cfg.OpenBrowser = func(context.Context, string) error { return nil }
	}
	if terminal.Is(a.stdin) {
		cfg.ReadRedirect = lineReader(a.stdin)
	}
	client, err := c.reach(ctx, cfg, p)
	return client, secretFile, err
}

// reach finds the endpoints. Without an issuer they must have been named, now or
// at the last login.
func (c *loginCmd) reach(ctx context.Context, cfg oauth.Config, p *profile.Profile) (*oauth.Client, error) {
	if issuer := cmp.Or(c.Issuer, p.Issuer); issuer != "" {
		client, err := oauth.Discover(ctx, issuer, cfg)
		if err != nil {
			return nil, err
		}
		return c.askAsListed(client), nil
	}
	cfg.AuthURL = cmp.Or(cfg.AuthURL, p.AuthURL)
	cfg.TokenURL = cmp.Or(cfg.TokenURL, p.TokenURL)
	cfg.DeviceAuthURL = cmp.Or(cfg.DeviceAuthURL, p.DeviceAuthURL)
	cfg.RevocationURL = cmp.Or(cfg.RevocationURL, p.RevocationURL)
	return oauth.NewClient(cfg), nil
}

// askAsListed returns a client that asks for what a session needs and the server
// lists, unless the person or the profile says what to ask for: openid, so that the
// session tells who has logged in, and offline_access, so that it can be renewed.
// Servers give the latter only to a person who consents (OpenID Connect Core section
// 11), so it comes with prompt=consent.
func (c *loginCmd) askAsListed(client *oauth.Client) *oauth.Client {
	cfg := client.Config()
	if len(cfg.Scopes) > 0 {
		return client
	}
	for _, scope := range []string{"openid", "offline_access"} {
		if slices.Contains(client.Metadata().ScopesSupported, scope) {
			cfg.Scopes = append(cfg.Scopes, scope)
		}
	}
	params, err := url.ParseQuery(c.advice(oauth.NewClient(cfg)).Params)
	if err == nil && slices.Contains(cfg.Scopes, "offline_access") {
		maps.Copy(params, cfg.AuthParams)
		cfg.AuthParams = c.authParams(params)
	}
	return oauth.NewClient(cfg)
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

// authenticate has the person log in within c.Timeout.
func (c *loginCmd) authenticate(ctx context.Context, client *oauth.Client) (*oauth.TokenPair, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, errNoLogin)
	defer cancel()
	if c.Device {
		return client.DeviceLogin(ctx)
	}
	return client.Authenticate(ctx)
}

// errNoLogin is the cause of a login's end when --timeout is over.
var errNoLogin = errors.New("the login was not completed in time")

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
func (c *loginCmd) explain(a *app, err error) error {
	switch {
	case errors.Is(err, errNoLogin):
		return exit.New(exit.Login, "the login was not completed within "+c.Timeout.String(), "run "+a.loginCommand(false)+", and give more time with --timeout if need be")
	case explain.Network(err) != nil:
		return explain.Network(err)
	case errors.Is(err, oauth.ErrAccessDenied):
		return exit.New(exit.Login, "the login was refused", "log in again and allow it, or ask for other scopes with --scope (some servers say so when one is missing or unknown), or ask the server's administrator")
	case errors.Is(err, oauth.ErrCodeExpired):
		return exit.New(exit.Login, "the code was not entered in time", "run the command again")
	case errors.Is(err, context.Canceled) && c.Device:
		return exit.New(exit.Interrupted, "the login was stopped", "run the command again")
	case errors.Is(err, context.Canceled):
		return exit.New(exit.Interrupted, "the login was stopped", "run the command again, with --device if the browser could not come back")
	case errors.Is(err, oauth.ErrLoginRequired):
		return exit.New(exit.Login, explain.Text(err), "run the command again")
	case errors.Is(err, oauth.ErrUnreadAnswer), errors.Is(err, oauth.ErrNoToken):
		return exit.New(exit.Config, explain.Text(err), "if the tokens are below one of its members, run the command again with --token-path NAME; otherwise see that --token-url is the token endpoint of this server")
	case errors.Is(err, syscall.EADDRINUSE):
		return exit.New(exit.Temporary, explain.Text(err), "end the program that uses it (another login that waits?), choose another --redirect-url or log in with --device; then run the command again")
	case explain.IsAny(err, syscall.EMFILE, syscall.ENFILE):
		return exit.New(exit.Temporary, explain.Text(err), "close other programs, or raise the limit of open files (ulimit -n); then run the command again")
	case errors.Is(err, oauth.ErrTransient):
		return exit.New(exit.Temporary, explain.Text(err), "check the network, then run the command again")
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
