package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/bridge"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/terminal"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/internal/browser"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/refresh"
)

// mcpCmd has the commands about MCP servers.
type mcpCmd struct {
	Connect mcpConnectCmd `cmd:"" default:"withargs" help:"Be an MCP server on stdin and stdout that passes all on to a remote one."`
	List    mcpListCmd    `cmd:"" help:"List the MCP servers that there is a login to."`
	Logout  mcpLogoutCmd  `cmd:"" help:"End the login to an MCP server, there and here."`
}

// Help is shown below the command's flags.
func (mcpCmd) Help() string {
	return example("mcp https://mcp.example.com/mcp", "mcp list", "mcp logout https://mcp.example.com/mcp")
}

// mcpStore says where logins to MCP servers are kept.
type mcpStore struct {
	Store string `placeholder:"WHERE" help:"Where to keep the tokens: keyring (files sealed with a key in the OS keyring) or file (readable by any program that can read your files). Default: $$EVERTOKEN_STORE, or keyring."`
}

// open opens the store of logins to MCP servers, which is beside that of the profiles.
func (c mcpStore) open(ctx context.Context, a *app) (stores.Backend, error) {
	choice := &loginCmd{Store: c.Store}
	if err := choice.choices(); err != nil {
		return nil, err
	}
	kind, err := choice.store(a, nil)
	if err != nil {
		return nil, err
	}
	return a.openBackend(ctx, kind, "mcp")
}

// mcpServer says which login to which server is meant.
type mcpServer struct {
	URL        string `arg:"" help:"The server's endpoint, such as https://mcp.example.com/mcp."`
	Account    string `placeholder:"NAME" help:"Which login, if you have several to this server."`
	ClientID   string `placeholder:"ID" help:"A client registered there by hand, if the server wants that."`
	SecretFile string `name:"client-secret-file" placeholder:"FILE" help:"File with that client's secret, if it has one."`
}

// client adds the client that was registered by hand, if there is one.
func (c mcpServer) client(cfg *connect.Config) error {
	if c.ClientID == "" {
		return nil
	}
	secret, err := profile.ReadSecret(absolute(c.SecretFile))
	given := &register.Registration{ClientID: c.ClientID, ClientSecret: secret, AuthMethod: "none"}
	if secret != "" {
		given.AuthMethod = "client_secret_basic"
	}
	cfg.Client.Given = []*register.Registration{given}
	return err
}

// check refuses a URL that no MCP server can have.
func (c mcpServer) check() error {
	_, err := c.session(connect.Config{URL: c.URL})
	return err
}

// session returns the session with the server.
func (c mcpServer) session(cfg connect.Config) (*connect.Session, error) {
	s, err := connect.New(cfg)
	if err != nil {
		// Not shown: what was pasted may hold a password.
		return nil, exit.Misuse(errors.New("give the address of an MCP server: it begins with https:// and holds no user name and no password"))
	}
	return s, nil
}

// mcpConnectCmd is a bridge between a program and a remote MCP server.
type mcpConnectCmd struct {
	mcpStore
	mcpServer
	Scope     []string `placeholder:"SCOPE" help:"What to ask for besides what the server names; repeat it or separate by commas."`
	Device    bool     `help:"Log in with a code on another device (default: if there is no display, and the server has such logins)."`
	NoBrowser bool     `help:"Only print the address to open."`
	Redirect  string   `name:"redirect-url" placeholder:"URL" help:"Loopback address to return to, if the server wants a registered one (default: a free port)."`
}

// Help is shown below the command's flags.
func (mcpConnectCmd) Help() string {
	return `For the configuration of editors and agents, in place of the server's own command:

  {"command": "evertoken", "args": ["mcp", "https://mcp.example.com/mcp"]}

The first one asks for a login, in the browser; all others, also later ones, use that. What it waits for is on stderr. It ends when its stdin does.

` + example("mcp https://mcp.example.com/mcp", "mcp list")
}

// Run passes messages until stdin or ctx ends.
func (c *mcpConnectCmd) Run(ctx context.Context, a *app) error {
	a.mcp = outside.Show(c.URL)
	a.mcpWords = []string{quoted(a.mcp)}
	if err := c.check(); err != nil { // before the keyring asks for its password
		return err
	}
	store, err := c.open(ctx, a)
	if err != nil {
		return err
	}
	cfg, err := c.config(a)
	if err != nil {
		return err
	}
	cfg.Refresh = refresh.Config{Store: store, Logger: a.logger()}
	session, err := c.session(cfg)
	if err != nil {
		return err
	}
	err = bridge.Run(ctx, bridge.Config{
		URL: c.URL, Client: session.Client(), In: a.stdin, Out: a.messages(),
		Say:     func(format string, args ...any) { a.say("evertoken: %s", outside.Show(fmt.Sprintf(format, args...))) },
		Explain: explainMCP,
		Passes:  passes,
	})
	closed := make(chan struct{})
	go func() {
		session.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(lastMoment): // the next process finds that a renewal was begun
	}
	return err
}

// messages is where messages go: to a program as they are, and to a terminal, where a person
// tries the bridge, without what that would obey.
func (a *app) messages() io.Writer {
	if terminal.Is(a.stdout) {
		return outside.NewWriter(a.stdout) // to be closed only if a message could end within a character
	}
	return a.stdout
}

// lastMoment is how long the end of a bridge waits for a renewal under way: editors end what
// does not end by itself.
const lastMoment = 400 * time.Millisecond

// config returns how to be a client of the server.
func (c *mcpConnectCmd) config(a *app) (connect.Config, error) {
	cfg := connect.Config{
		URL: c.URL, Account: c.Account,
		Client:       register.Options{Metadata: register.Metadata{ClientName: "Evertoken"}},
		OnOtherLogin: func() { a.say("evertoken: another program is logging in to this server; waiting for that") },
		Transport:    bridge.NewTransport(),
		OAuth: oauth.Config{
			RedirectURL: c.Redirect, Scopes: strings.FieldsFunc(strings.Join(c.Scope, " "), func(r rune) bool { return r == ' ' || r == ',' }),
			OfflineAccess: true, Output: a.stderr,
		},
	}
	if c.Redirect != "" {
		cfg.Client.Metadata.RedirectURIs = []string{c.Redirect}
	}
	if c.NoBrowser {
		cfg.OAuth.OpenBrowser = func(context.Context, string) error { return nil }
	}
	if c.Device || !c.NoBrowser && browser.Check() != nil {
		cfg.Client.Metadata.GrantTypes = []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"}
		cfg.Login = c.onAnotherDevice
	}
	err := c.client(&cfg)
	return cfg, err
}

// onAnotherDevice logs in where there is no display: with a code if the server has such
// logins, and otherwise with the printed address.
func (c *mcpConnectCmd) onAnotherDevice(ctx context.Context, client *oauth.Client) (*oauth.TokenPair, error) {
	if c.Device || client.Config().DeviceAuthURL != "" {
		return client.DeviceLogin(ctx)
	}
	return client.Authenticate(ctx)
}

// passes reports whether a request was not sent, and may be later: there was no
// connection, or no token because of trouble at the authorization server. What fails in the
// middle of a login is another matter: trying again would open another window.
func passes(err error) bool {
	if op, is := errors.AsType[*net.OpError](err); is && op.Op == "dial" {
		fail, token := errors.AsType[*oauth.Error](err)
		return !token || isRenewal(fail)
	}
	fail, is := errors.AsType[*oauth.Error](err)
	return is && errors.Is(fail, oauth.ErrTransient) && isRenewal(fail)
}

// isRenewal reports whether an error is about what can be asked again without a person.
func isRenewal(fail *oauth.Error) bool {
	return fail.Op == "refresh" || strings.HasPrefix(fail.Op, "discover")
}

// explainMCP says what an error means for a program's request.
func explainMCP(err error) string {
	if wrapped, is := errors.AsType[*url.Error](err); is {
		err = wrapped.Err // whose address the program knows
	}
	switch {
	case errors.Is(err, oauth.ErrAccessDenied):
		return "the login was refused; to try again, start the server anew"
	case errors.Is(err, connect.ErrRefused):
		return "the server refuses the login: ask whoever runs it"
	}
	return outside.Show(explain.Text(err))
}

// mcpListCmd lists logins to MCP servers.
type mcpListCmd struct {
	mcpStore
	JSON bool `help:"Print a JSON array, for scripts."`
}

// Help is shown below the command's flags.
func (mcpListCmd) Help() string {
	return `Asks no server.

` + example("mcp list", "mcp list --json")
}

// A listedMCP is a login to an MCP server as it is listed.
type listedMCP struct {
	Server  string `json:"server"`
	State   string `json:"state"`
	Expires string `json:"access_token_expires_at,omitempty"`
}

// Run prints a line for each login.
func (c *mcpListCmd) Run(ctx context.Context, a *app) error {
	a.mcp, a.mcpWords = "URL", []string{"list"}
	store, err := c.open(ctx, a)
	if err != nil {
		return err
	}
	names, err := store.Names(ctx)
	if err != nil {
		return err
	}
	list := []listedMCP{} // [] in JSON, if there are none
	for _, name := range names {
		list = append(list, c.judge(ctx, store, name))
	}
	if c.JSON {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		a.say("There is no login to an MCP server yet: \"evertoken mcp URL\" asks for one.")
	}
	for _, l := range list {
		if err := a.print("%s\n  %s", outside.Show(l.Server), l.State); err != nil {
			return err
		}
	}
	return nil
}

// judge tells how a login fares.
func (c *mcpListCmd) judge(ctx context.Context, store stores.Backend, name string) listedMCP {
	l := listedMCP{Server: name}
	rec, err := store.Get(ctx, name)
	if err != nil {
		l.State = "cannot be read: " + outside.Show(explain.Text(err))
		return l
	}
	now := time.Now()
	st := refresh.Judge(refresh.Config{Store: store, Session: name}, rec, now)
	switch st.State {
	case refresh.StateLoginRequired, refresh.StateNone:
		l.State = "login required; the next program that uses it asks for one"
	case refresh.StateSuspected:
		l.State = "refused by the server; the next program that uses it asks for a login"
	case refresh.StateMisconfigured, refresh.StateRetrying:
		l.State = "in trouble, nothing is lost: " + outside.Show(st.LastError)
	default:
		l.State = "logged in; access token " + text.Until(st.ExpiresAt, now)
	}
	if !st.ExpiresAt.IsZero() {
		l.Expires = st.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return l
}
