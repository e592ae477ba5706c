package oauth_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/outside/marks"
	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/oidc"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/oauth/workload"
)

// Secrets of the visitor's, all for the server https://auth.test.
const (
	visitorsServer   = "https://auth.test"
	visitorsAccess   = "s3cret-access-token"
	visitorsRefresh  = "s3cret-refresh-token"
	visitorsID       = "e30.s3cret-id-token.s1gnature"
	visitorsPassword = "s3cret-password"
	visitorsSecret   = "s3cret-of-the-client"
	visitorsCode     = "s3cret-code"
	visitorsSubject  = "s3cret-subject-token"
	visitorsJWT      = "e30.s3cret-assertion.s1gnature"
	visitorsJob      = "s3cret-of-the-job"
)

// A visitor comes through one of the doors, with secrets in all pockets.
type visitor struct {
	*oauth.Client
	book *taint.Book
	cfg  oauth.Config
	file string // has an assertion
}

// newVisitor returns a visitor to the server, who authenticates in the nth way.
func newVisitor(b *taint.Book, server taint.Hostile, file string, n int) *visitor {
	for what, value := range map[string]string{
		"access token": visitorsAccess, "refresh token": visitorsRefresh, "ID token": visitorsID, "password": visitorsPassword, "client secret": visitorsSecret,
		"code": visitorsCode, "subject token": visitorsSubject, "assertion": visitorsJWT, "the job's own": visitorsJob,
	} {
		b.Secret(what, value, visitorsServer)
	}
	b.Secret("DPoP key", secretD)
	key := ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%-32.32s", "s3cret-seed"))
	b.Secret("key", string(key.Seed()))
	net := &taint.Servers{Book: b, At: map[string]http.RoundTripper{visitorsServer: noting{b, server}}, Else: taint.Hostile{Status: http.StatusOK}}
	cfg := oauth.Config{
		Issuer: visitorsServer, ClientID: "id", AuthURL: "https://auth.test/authorize", TokenURL: "https://auth.test/token", DeviceAuthURL: "https://auth.test/device",
		RevocationURL: "https://auth.test/revoke", RedirectURL: "http://127.0.0.1:1/", Scopes: []string{"openid"}, HTTPClient: &http.Client{Transport: net}, Output: b,
		Endpoints:     oauth.Endpoints{Userinfo: "https://auth.test/me", Introspection: "https://auth.test/introspect", PushedAuth: "https://auth.test/par", EndSession: "https://auth.test/end", JWKS: "https://auth.test/jwks"},
		VerifyIDToken: new(oidc.Verifier).Verify,
	}
	switch n % 3 {
	case 0:
		cfg.ClientSecret = visitorsSecret
	case 1:
		cfg.ClientAuth, cfg.DPoP = oauth.SecretPost(visitorsSecret), true
	case 2:
		cfg.ClientAuth = oauth.PrivateKeyJWT(oauth.AssertionKey{Signer: key})
	}
	return &visitor{oauth.NewClient(cfg), b, cfg, file}
}

func (v *visitor) pair() *oauth.TokenPair {
	pair := &oauth.TokenPair{AccessToken: visitorsAccess, RefreshToken: visitorsRefresh, IDToken: visitorsID}
	if v.cfg.DPoP {
		pair.TokenType, pair.DPoPKey = "DPoP", plantedKey()
	}
	return pair
}

// login returns a request that the person is away with.
func (v *visitor) login() (*oauth.LoginRequest, error) {
	req, err := v.AuthCodeURL()
	if err == nil {
		v.book.Secret("state", req.State, visitorsServer)
		v.book.Secret("verifier", req.Verifier, visitorsServer)
	}
	return req, err
}

// noting tells the book of the secrets that a client makes by itself.
type noting struct {
	book   *taint.Book
	server http.RoundTripper
}

func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	n.book.NoteRequest(r, body, visitorsServer)
	return n.server.RoundTrip(r)
}

// doors are all the functions that send a request, or read what one was answered: what they
// return is what can reach a person. Two that are one function have more in their names.
var doors = map[string]func(context.Context, *visitor) (any, error){
	"Client.RefreshToken": func(ctx context.Context, v *visitor) (any, error) { return v.RefreshToken(ctx, visitorsRefresh) },
	"Client.Refresh":      func(ctx context.Context, v *visitor) (any, error) { return v.Refresh(ctx, v.pair()) },
	"Client.RefreshScope": func(ctx context.Context, v *visitor) (any, error) { return v.RefreshScope(ctx, v.pair(), "openid") },
	"Client.Password":     func(ctx context.Context, v *visitor) (any, error) { return v.Password(ctx, "alice", visitorsPassword) },
	"Client.ClientCredentials": func(ctx context.Context, v *visitor) (any, error) {
		return v.ClientCredentials(ctx)
	},
	"GrantRefresher.Refresh": func(ctx context.Context, v *visitor) (any, error) {
		return v.JWTBearerRefresher(oauth.AssertionFile(v.file)).Refresh(ctx, nil)
	},
	"Client.DeviceAuth":  func(ctx context.Context, v *visitor) (any, error) { return v.DeviceAuth(ctx) },
	"Client.DeviceLogin": func(ctx context.Context, v *visitor) (any, error) { return v.DeviceLogin(ctx) },
	"Client.DeviceToken": func(ctx context.Context, v *visitor) (any, error) {
		return v.DeviceToken(ctx, &oauth.DeviceCode{DeviceCode: visitorsCode, ExpiresAt: time.Now().Add(time.Minute)})
	},
	"Client.Userinfo": func(ctx context.Context, v *visitor) (any, error) {
		_, err := v.Userinfo(ctx, v.pair()) // whose claims are the program's to show
		return nil, err
	},
	"Client.Introspect": func(ctx context.Context, v *visitor) (any, error) {
		_, err := v.Introspect(ctx, visitorsAccess)
		return nil, err
	},
	"Client.Revoke":        func(ctx context.Context, v *visitor) (any, error) { return nil, v.Revoke(ctx, v.pair()) },
	"Client.ExchangeToken": func(ctx context.Context, v *visitor) (any, error) { return v.ExchangeToken(ctx, v.exchange()) },
	"Client.IdentityAssertion": func(ctx context.Context, v *visitor) (any, error) {
		return v.IdentityAssertion(ctx, oauth.IdentityAssertion{Provider: v.Client, Subject: func(context.Context) (oauth.TokenExchange, error) { return v.exchange(), nil }})
	},
	"Client.JWTBearer":    func(ctx context.Context, v *visitor) (any, error) { return v.JWTBearer(ctx, visitorsJWT) },
	"Client.PushAuthCode": func(ctx context.Context, v *visitor) (any, error) { return v.PushAuthCode(ctx) },
	"Client.Exchange": func(ctx context.Context, v *visitor) (any, error) {
		req, err := v.login()
		if err != nil {
			return nil, err
		}
		return v.Exchange(ctx, req, url.Values{"state": {req.State}, "code": {visitorsCode}})
	},
	"Client.Exchange of a refusal": func(ctx context.Context, v *visitor) (any, error) {
		req, err := v.login()
		if err != nil {
			return nil, err
		}
		text := marks.Text("query") + visitorsCode
		return v.Exchange(ctx, req, url.Values{"state": {req.State}, "error": {text}, "error_description": {text}, "error_uri": {text}, "iss": {text}})
	},
	"Client.ResumeLogin": func(ctx context.Context, v *visitor) (any, error) {
		req, err := v.login()
		if err != nil {
			return nil, err
		}
		req.Answer = url.Values{"state": {req.State}, "code": {visitorsCode}}
		return v.ResumeLogin(ctx, req, nil)
	},
	"Client.EndSessionURL": func(_ context.Context, v *visitor) (any, error) { return v.EndSessionURL(v.pair(), "") },
	"Client.StepUp": func(_ context.Context, v *visitor) (any, error) {
		return v.StepUp(challenge.Challenge{Scheme: "Bearer", Params: map[string]string{"error": "insufficient_user_authentication", "acr_values": marks.Text("acr") + visitorsAccess}})
	},
	"Discover": func(ctx context.Context, v *visitor) (any, error) { return oauth.Discover(ctx, visitorsServer, v.cfg) },
	"Discover a name": func(ctx context.Context, v *visitor) (any, error) {
		return oauth.Discover(ctx, "https://"+marks.Text("issuer"), v.cfg)
	},
	"DiscoverResource": func(ctx context.Context, v *visitor) (any, error) {
		_, err := oauth.DiscoverResource(ctx, "https://auth.test/x", v.cfg)
		return nil, err
	},
	"DiscoverChallenged": func(ctx context.Context, v *visitor) (any, error) {
		_, err := oauth.DiscoverChallenged(ctx, "https://auth.test/x", http.Header{"Www-Authenticate": {`Bearer resource_metadata="https://evil.test/x", scope="` + marks.Text("scope") + `"`}}, v.cfg)
		return nil, err
	},
	"register.For": func(ctx context.Context, v *visitor) (any, error) {
		v.cfg.Endpoints.Registration = "https://auth.test/register"
		return register.For(ctx, visitorsServer, register.Options{Metadata: register.Metadata{ClientName: "n"}}, v.cfg)
	},
	"register.Client": func(ctx context.Context, v *visitor) (any, error) {
		return register.Client(ctx, visitorsServer, register.Metadata{ClientName: "n"}, v.cfg)
	},
	"Registration.Read": func(ctx context.Context, v *visitor) (any, error) { return v.registration().Read(ctx, v.cfg) },
	"Registration.Update": func(ctx context.Context, v *visitor) (any, error) {
		return v.registration().Update(ctx, register.Metadata{}, v.cfg)
	},
	"Registration.Delete": func(ctx context.Context, v *visitor) (any, error) { return nil, v.registration().Delete(ctx, v.cfg) },
	"dialect.Client.Refresh": func(ctx context.Context, v *visitor) (any, error) {
		return v.backend(dialect.GinJWT()).Refresh(ctx, v.pair())
	},
	"dialect.Client.Login": func(ctx context.Context, v *visitor) (any, error) {
		return v.backend(dialect.Cookie()).Login(ctx, "alice", visitorsPassword)
	},
	"dialect.Client.LoginWith": func(ctx context.Context, v *visitor) (any, error) {
		return v.backend(dialect.Kratos()).LoginWith(ctx, "alice", visitorsPassword, nil)
	},
	"dialect.Client.Revoke": func(ctx context.Context, v *visitor) (any, error) {
		return nil, v.backend(dialect.Cookie()).Revoke(ctx, v.pair())
	},
	"Verifier.Verify": func(ctx context.Context, v *visitor) (any, error) {
		return nil, new(oidc.Verifier).Verify(ctx, oauth.IDTokenCheck{Token: visitorsID, Issuer: visitorsServer, JWKSURL: "https://auth.test/jwks", HTTPClient: v.cfg.HTTPClient})
	},
	"URL.Token": func(ctx context.Context, v *visitor) (any, error) {
		job := workload.URL{Address: "https://auth.test/token?x=" + visitorsJob, Header: http.Header{"Authorization": {"Bearer " + visitorsJob}}, Member: "access_token", HTTPClient: v.cfg.HTTPClient}
		_, err := job.Token(ctx) // which is the program's
		return job, err
	},
	"GitHubActions.Token": func(ctx context.Context, v *visitor) (any, error) {
		job := workload.GitHubActions{HTTPClient: v.cfg.HTTPClient}
		_, err := job.Token(ctx)
		return nil, err
	},
}

func (v *visitor) exchange() oauth.TokenExchange {
	return oauth.TokenExchange{SubjectToken: visitorsSubject, ActorToken: visitorsAccess, Audiences: []string{"https://api.test"}}
}

func (v *visitor) registration() *register.Registration {
	return &register.Registration{Issuer: visitorsServer, ClientID: "id", ClientSecret: visitorsSecret, AccessToken: visitorsAccess, ManagementURL: "https://auth.test/register/id"}
}

func (v *visitor) backend(d dialect.Dialect) *dialect.Client {
	return dialect.NewClient(d, dialect.Config{BaseURL: visitorsServer, HTTPClient: v.cfg.HTTPClient})
}

// hostile are members of a hostile server's answers that are as they should be.
var hostile = map[string]map[string]string{
	"nothing good": nil,
	"a token":      {"access_token": `"s3cret-new-access"`, "refresh_token": `"s3cret-new-refresh"`},
	"a code":       {"device_code": `"s3cret-device-code"`, "user_code": `"u"`, "verification_uri": `"https://auth.test/device"`},
	"an issuer":    {"issuer": `"https://auth.test"`},
	"a server":     {"resource": `"https://auth.test/x"`},
	"a word":       {"error": `"invalid_grant"`},
	"a secret":     {"error": `"` + visitorsRefresh + `"`, "code": `"` + visitorsSecret + `"`, "token_type": `"` + visitorsAccess + `"`, "scope": `"` + visitorsCode + `"`},
}

// The taint test of this package: marks in all that a server says, together with all that it
// was told, and every secret followed to where it may go.
func TestLaw8_RequestsPrintNoSecretAndNoStrangersWordAndSendNoTokenElsewhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "assertion")
	if err := os.WriteFile(file, []byte(visitorsJWT), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://auth.test/token")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", visitorsJob)
	for door, request := range doors {
		var b taint.Book
		for _, s := range []string{"s3cret-new-access", "s3cret-new-refresh", "s3cret-device-code"} {
			b.Secret(s[7:], s, visitorsServer)
		}
		n := 0
		for _, status := range []int{0, 200, 201, 302, 307, 400, 401, 403, 404, 407, 429, 503, 999} {
			for kind, good := range hostile {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					v := newVisitor(&b, taint.Hostile{Status: status, Good: good}, file, n)
					got, err := request(ctx, v)
					where := fmt.Sprintf("%s, %d, %s", door, status, kind)
					b.Print(where, got, v.Client)
					b.PrintError(where, err)
				})
				n++
			}
		}
		b.Check(t, 10, 90)
	}
	checkDoors(t)
}

// elsewhere are doors that other tests go through.
var elsewhere = map[string]string{
	"Client.Authenticate": "TestLaw8_LoginPrintsAndShowsNothingOfItsSecrets", "Client.AuthenticateKeeping": "the same",
	"Command.Token": "it is a program's output: workload's own tests", "ResourceFrom": "sends nothing", "WithResource": "sends nothing",
}

// checkDoors reports functions that take a context and are not among the doors.
func checkDoors(t *testing.T) {
	t.Helper()
	for list, prefix := range map[string]string{"oauth": "", "oauth_dialect": "dialect.", "oauth_register": "register.", "oauth_oidc": "", "oauth_workload": ""} {
		data, err := os.ReadFile("../api/" + list + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			_, decl, is := strings.Cut(line, "func ")
			if !is || !strings.HasPrefix(line, "func") || !strings.Contains(decl, "(ctx context.Context") {
				continue
			}
			name := prefix + doorOf(decl)
			if prefix == "register." {
				name = strings.Replace(name, "register.Registration", "Registration", 1)
			}
			if doors[name] == nil && elsewhere[name] == "" {
				t.Errorf("%s sends a request and is not among the doors", name)
			}
		}
	}
}

// doorOf is what a declaration declares: Client.Refresh of "(c *Client) Refresh(ctx …".
func doorOf(decl string) string {
	if receiver, is := strings.CutPrefix(decl, "("); is {
		receiver, name, _ := strings.Cut(receiver, ") ")
		_, typ, _ := strings.Cut(receiver, " ")
		name, _, _ = strings.Cut(name, "(")
		return strings.TrimPrefix(typ, "*") + "." + name
	}
	name, _, _ := strings.Cut(decl, "(")
	return name
}

func TestF94_AddressOfADeviceLoginIsShownAsItIs(t *testing.T) {
	for uri, want := range map[string]string{
		"https://auth.test/device":                        "https://auth.test/device",
		"https://\u0430uth.test/device":                   "https://xn--uth-5cd.test/device",
		"https://%D0%B0uth.test/device":                   "https://xn--uth-5cd.test/device",
		"https://auth.test/%1b%5B2J%E2%80%AE":             "https://auth.test/%1b%5B2J%E2%80%AE",
		"https://auth.test/\u202e":                        "https://auth.test/%E2%80%AE",
		"https://auth.test%C2%9B2J/":                      "",
		"https://auth.test\u202e/":                        "",
		"https://auth.test@evil.test/":                    "",
		"https://auth.test\\@evil.test/":                  "",
		"javascript:alert(1)":                             "",
		"https://auth.test/" + strings.Repeat("x", 1<<20): "",
	} {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			server := answering(http.StatusOK, `{"device_code":"d","user_code":"U-1","expires_in":60,"verification_uri":`+taint.JSON(uri)+`,"verification_uri_complete":`+taint.JSON(uri)+`}`)
			c := over(server, func(cfg *oauth.Config) { cfg.DeviceAuthURL, cfg.Output = "https://auth.test/device", &out })
			code, err := c.DeviceAuth(t.Context())
			if want == "" {
				if err == nil {
					t.Errorf("%.60q: taken for %q; want an error", uri, code.VerificationURI)
				}
				return
			}
			if err != nil || code.VerificationURI != want || code.VerificationURIComplete != want {
				t.Fatalf("%.60q: %v, %v; want %q", uri, code, err, want)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _ = c.DeviceLogin(ctx)
			host, _ := url.Parse(want)
			if said := out.String(); strings.Count(said, want) < 2 || !strings.Contains(said, "only on a page at "+host.Host+".") {
				t.Errorf("%.60q: said %q", uri, said)
			}
		})
	}
}

// A teller is an Output that ends the login when the person has been told of the browser.
type teller struct {
	said strings.Builder
	end  context.CancelFunc
}

func (w *teller) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "could not be opened") {
		defer w.end()
	}
	return w.said.Write(p)
}

func TestF94_NothingThatALoginSaysWritesOnATerminal(t *testing.T) {
	for address, shown := range map[string]string{
		"https://\u0430uth.test/authorize":       "https://xn--uth-5cd.test/authorize?",
		"https://%D0%B0uth.test/authorize":       "https://xn--uth-5cd.test/authorize?",
		"https://auth.test/\u202e?\u009b=\u2066": "https://auth.test/%E2%80%AE?",
		"https://auth.test%C2%9B2J/":             "https://auth.test%C2%9B2J/?", // not decoded
	} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &teller{end: cancel}
		c := oauth.NewClient(oauth.Config{
			ClientID: "id", AuthURL: address, TokenURL: "https://auth.test/token", Output: out,
			OpenBrowser: func(context.Context, string) error { return errors.New(marks.Text("browser")) },
		})
		_, err := c.Authenticate(ctx)
		if found := marks.In(out.said.String()+fmt.Sprint(err), true); found != nil || !strings.Contains(out.said.String(), shown) || !strings.Contains(out.said.String(), `browser\n`) {
			t.Errorf("%q: said %v: %q", address, found, out.said.String())
		}
		cancel()
	}
}
