package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// claims edits the ID token of an answer, which the server then signs anew.
func claims(s *oauthtest.Server, edit map[string]any) func(fields map[string]any) {
	return func(fields map[string]any) {
		token, _ := fields["id_token"].(string)
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
			panic(err)
		}
		for name, value := range edit {
			claims[name] = value
		}
		fields["id_token"] = s.SignIDToken(claims)
	}
}

// logins are the ways to log in, without the browser.
var logins = map[string]func(context.Context, *oauthtest.Server, *oauth.Client) (*oauth.TokenPair, error){
	"code": func(ctx context.Context, s *oauthtest.Server, c *oauth.Client) (*oauth.TokenPair, error) {
		req, err := c.AuthCodeURL()
		if err != nil {
			return nil, err
		}
		location, err := s.Allow(ctx, req.URL, "alice")
		if err != nil {
			return nil, err
		}
		back, err := url.Parse(location)
		if err != nil {
			return nil, err
		}
		return c.Exchange(ctx, req, back.Query())
	},
	"device": func(ctx context.Context, s *oauthtest.Server, c *oauth.Client) (*oauth.TokenPair, error) {
		code, err := c.DeviceAuth(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.AllowDevice(ctx, code.UserCode, "alice"); err != nil {
			return nil, err
		}
		return c.DeviceToken(ctx, code)
	},
	"password": func(ctx context.Context, _ *oauthtest.Server, c *oauth.Client) (*oauth.TokenPair, error) {
		return c.Password(ctx, "alice", "wonderland")
	},
}

func TestLoginFailsWithAWrongIDToken(t *testing.T) {
	for flow, login := range logins {
		for name, edit := range map[string]map[string]any{
			"issuer":   {"iss": "https://other.test"},
			"audience": {"aud": "somebody-else"},
			"expired":  {"exp": 1},
			"future":   {"iat": 4e9},
			"at_hash":  {"at_hash": "AAAA"},
		} {
			synctest.Test(t, func(t *testing.T) {
				s := oauthtest.New(oauthtest.Config{})
				c := webClient(s)
				if pair, err := login(t.Context(), s, c); err != nil || pair.IDToken == "" {
					t.Fatalf("%s: %v, %v", flow, pair, err)
				}
				before := s.Requests(oauthtest.TokenEndpoint)
				s.Script(oauthtest.Fault{Edit: claims(s, edit)})
				pair, err := login(t.Context(), s, c)
				if pair != nil || !errors.Is(err, oauth.ErrIDToken) || !errors.Is(err, oauth.ErrMisconfigured) {
					t.Errorf("%s, %s: %v, %v", flow, name, pair, err)
				}
				if n := s.Requests(oauthtest.TokenEndpoint) - before; n != 1 {
					t.Errorf("%s, %s: %d token requests; want one, since a code serves once", flow, name, n)
				}
				wantNoMistakes(t, s)
			})
		}
	}
}

func TestLoginWithAnotherLoginsIDTokenFails(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	s.Script(oauthtest.Fault{Edit: claims(s, map[string]any{"nonce": "another"})})
	_, err := logins["code"](t.Context(), s, webClient(s))
	if !errors.Is(err, oauth.ErrIDToken) || !errors.Is(err, oauth.ErrLoginRequired) {
		t.Errorf("error %v", err)
	}
}

func TestANonceIsSentForIDTokensOnly(t *testing.T) {
	for scope, want := range map[string]bool{"openid offline_access": true, "openidx": false, "": false} {
		c := webClient(oauthtest.New(oauthtest.Config{}), func(cfg *oauth.Config) { cfg.Scopes = strings.Fields(scope) })
		req, err := c.AuthCodeURL()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(req.URL, "nonce="); got != want || (req.Nonce != "") != want {
			t.Errorf("scope %q: nonce sent: %v", scope, got)
		}
	}
}

// dated is a connection to a server that tells its time.
type dated struct{ http.RoundTripper }

func (d dated) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	return resp, err
}

// A login on a machine whose clock is wrong by days is judged by the server's
// clock, which its answers tell.
func TestIDTokenIsJudgedByTheServersClock(t *testing.T) {
	for _, off := range []time.Duration{-72 * time.Hour, 72 * time.Hour} {
		s := oauthtest.New(oauthtest.Config{})
		c := webClient(s, func(cfg *oauth.Config) {
			cfg.Now = func() time.Time { return time.Now().Add(off) }
			cfg.HTTPClient.Transport = dated{cfg.HTTPClient.Transport}
		})
		if _, err := logins["code"](t.Context(), s, c); err != nil {
			t.Errorf("clock off by %v: %v", off, err)
		}
	}
}

func TestVerifyIDTokenDecidesOnALogin(t *testing.T) {
	for name, tt := range map[string]struct {
		hook func(context.Context, oauth.IDTokenCheck) error
		kind error // nil: accepted
	}{
		"accepts": {func(_ context.Context, check oauth.IDTokenCheck) error {
			if check.Token == "" || check.JWKSURL != "https://auth.test/jwks" || check.Issuer != "https://auth.test" ||
				check.ClientID != oauthtest.DefaultClientID || check.HTTPClient == nil {
				return errors.New("something is missing")
			}
			return nil
		}, nil},
		"refuses": {func(context.Context, oauth.IDTokenCheck) error { return errors.New("no") }, oauth.ErrMisconfigured},
		"cannot tell": {func(context.Context, oauth.IDTokenCheck) error { return fmt.Errorf("keys: %w", oauth.ErrTransient) },
			oauth.ErrTransient},
		"panics": {func(_ context.Context, check oauth.IDTokenCheck) error { panic(check.Token) }, oauth.ErrMisconfigured},
		"takes too long": {func(ctx context.Context, _ oauth.IDTokenCheck) error { <-ctx.Done(); return ctx.Err() },
			oauth.ErrTransient},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := oauthtest.New(oauthtest.Config{})
				for flow, login := range logins {
					pair, err := login(t.Context(), s, webClient(s, func(cfg *oauth.Config) { cfg.VerifyIDToken = tt.hook }))
					if tt.kind == nil && err != nil {
						t.Errorf("%s: %v", flow, err)
					}
					if tt.kind != nil && (pair != nil || !errors.Is(err, tt.kind) || !errors.Is(err, oauth.ErrIDToken)) {
						t.Errorf("%s: %v, %v; want %v", flow, pair, err, tt.kind)
					}
					if err != nil && strings.Contains(err.Error(), "eyJ") {
						t.Errorf("%s: the error shows the token: %v", flow, err)
					}
				}
				wantNoMistakes(t, s)
			})
		})
	}
}

func TestKeysAreNotFetchedOverPlainHTTP(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := webClient(s, func(cfg *oauth.Config) {
		cfg.Endpoints.JWKS = "http://auth.test/jwks"
		cfg.VerifyIDToken = func(context.Context, oauth.IDTokenCheck) error {
			t.Error("asked about keys that anybody can replace on the way")
			return nil
		}
	})
	if _, err := logins["password"](t.Context(), s, c); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("error %v", err)
	}
}

// The tokens that came beside a bad ID token are all that the session has.
func TestRefreshKeepsTheTokensBesideABadIDToken(t *testing.T) {
	hooks := map[string]func(context.Context, oauth.IDTokenCheck) error{
		"no hook":        nil,
		"hook refuses":   func(context.Context, oauth.IDTokenCheck) error { return errors.New("no") },
		"hook panics":    func(context.Context, oauth.IDTokenCheck) error { panic("x") },
		"hook takes all": func(ctx context.Context, _ oauth.IDTokenCheck) error { <-ctx.Done(); return ctx.Err() },
	}
	for name, hook := range hooks {
		synctest.Test(t, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{})
			first, err := s.Login("alice")
			if err != nil {
				t.Fatal(err)
			}
			if hook == nil {
				s.Script(oauthtest.Fault{Edit: claims(s, map[string]any{"iss": "https://other.test"})})
			}
			begun := time.Now()
			next, err := webClient(s, func(cfg *oauth.Config) { cfg.VerifyIDToken = hook }).Refresh(t.Context(), first)
			if err != nil {
				t.Fatalf("%s: %v; the new refresh token is lost", name, err)
			}
			if next.RefreshToken == first.RefreshToken || next.IDToken != first.IDToken {
				t.Errorf("%s: want the new refresh token and the old ID token", name)
			}
			if !errors.Is(next.IDTokenError, oauth.ErrIDToken) {
				t.Errorf("%s: IDTokenError %v", name, next.IDTokenError)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("%s: the new tokens waited %v to be saved", name, took)
			}
			wantWorking(t, s, next)
			wantNoMistakes(t, s)
		})
	}
}

func TestRefreshTakesOverAGoodIDToken(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	first, err := s.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	next, err := webClient(s).Refresh(t.Context(), first)
	if err != nil || next.IDToken == first.IDToken || next.IDTokenError != nil {
		t.Errorf("%v, %v, ID token error %v; want the new ID token", next, err, next.IDTokenError)
	}
}

func TestIDTokenCheckPrintsNoToken(t *testing.T) {
	check := oauth.IDTokenCheck{Token: "planted", Issuer: "https://auth.test"}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", check, check, check, &check), check.LogValue().String()} {
		if strings.Contains(text, "planted") || !strings.Contains(text, "auth.test") {
			t.Errorf("prints %q", text)
		}
	}
}

// Whether the program checks signatures or not.
func TestIDTokensThatNoServerSignsAreRefusedAtLogin(t *testing.T) {
	signed := func(header string) string { return idTokenWith(header, "") }
	resigned := func(header, signature string) string {
		id := signed(header)
		return id[:strings.LastIndexByte(id, '.')+1] + signature
	}
	encrypted := func(header string) string { // RFC 7516 section 3.1
		return strings.Join([]string{strings.Split(signed(header), ".")[0], "a", "b", "c", "d"}, ".")
	}
	for _, verify := range []func(context.Context, oauth.IDTokenCheck) error{
		nil, func(context.Context, oauth.IDTokenCheck) error { return nil },
	} {
		for name, tt := range map[string]struct {
			id     string
			secret bool
		}{
			"none":                         {resigned(`{"alg":"none"}`, ""), true},
			"none, and a signature":        {signed(`{"alg":"none"}`), true},
			"None, and a signature":        {signed(`{"alg":"None"}`), true},
			"NONE with spaces":             {signed(`{"alg":" NONE "}`), true},
			"none with a hidden character": {signed(`{"alg":"none\u200b"}`), true},
			"none in other letters":        {signed(`{"alg":"n\u043ene"}`), true},
			"an algorithm alone":           {resigned(`{"alg":"RS256"}`, ""), true},
			"an algorithm and padding":     {resigned(`{"alg":"ES256"}`, "=="), true},
			"an algorithm and spaces":      {resigned(`{"alg":"EdDSA"}`, " "), true},
			"an unknown one alone":         {resigned(`{"alg":"X1"}`, ""), true},
			"HS256":                        {signed(`{"alg":"HS256"}`), false},
			"HS512":                        {signed(`{"alg":"HS512"}`), false},
			"hs256":                        {signed(`{"alg":"hs256"}`), false},
			"HS256 with spaces":            {signed(`{"alg":" HS256"}`), false},
			"an extension":                 {signed(`{"alg":"RS256","crit":["exp"]}`), true},
			"an extension that is none":    {signed(`{"alg":"RS256","crit":[]}`), true},
			"a word for an extension":      {signed(`{"alg":"RS256","crit":"b64","b64":false}`), true},
			"no list of extensions":        {signed(`{"alg":"RS256","crit":null}`), true},
			"no algorithm":                 {signed(`{"typ":"JWT"}`), true},
			"a number for an algorithm":    {signed(`{"alg":256}`), true},
			"a list for an algorithm":      {signed(`{"alg":["RS256"]}`), true},
			"encrypted":                    {encrypted(`{"alg":"RSA-OAEP","enc":"A256GCM"}`), true},
			"encrypted with a shared key":  {encrypted(`{"alg":"dir","enc":"A256GCM"}`), true},
			"encrypted, in three parts":    {signed(`{"alg":"dir","enc":"A256GCM"}`), true},
			"encrypted, called a signed":   {encrypted(`{"alg":"RS256"}`), true},
			"more parts than there can be": {signed(`{"alg":"RS256"}`) + ".x", true},
		} {
			login, refresh := judgedIDToken(t, tt.id, func(cfg *oauth.Config) {
				cfg.VerifyIDToken, cfg.Now = verify, nil
				if tt.secret {
					cfg.ClientSecret = "secret"
				}
			})
			for _, err := range []error{login, refresh} {
				if !errors.Is(err, oauth.ErrIDToken) || !errors.Is(err, oauth.ErrMisconfigured) {
					t.Errorf("%s, with VerifyIDToken %t: %v; want ErrIDToken", name, verify != nil, err)
				}
			}
		}
	}
}

func TestIDTokenSignedWithTheClientsSecretIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login, refresh := judgedIDToken(t, idTokenWith(`{"alg":"HS256"}`, ""), func(cfg *oauth.Config) { cfg.ClientSecret = "secret" })
		if login != nil || refresh != nil {
			t.Errorf("%v, on refresh %v; want it accepted", login, refresh)
		}
	})
}

func TestIssuerThatIsAPatternStandsForItsTenants(t *testing.T) {
	for iss, ok := range map[string]bool{"https://as.test/t-1/v2.0": true, "https://as.test/t-2/v2.0": false, "https://as.test/{tenantid}/v2.0": false} {
		synctest.Test(t, func(t *testing.T) {
			login, refresh := judgedIDToken(t, idTokenWith(`{"alg":"RS256"}`, fmt.Sprintf(`"iss":%q,"tid":"t-1",`, iss)),
				func(cfg *oauth.Config) { cfg.Issuer = "https://as.test/{tenantid}/v2.0" })
			if (login == nil) != ok || (refresh == nil) != ok {
				t.Errorf("%s: %v, on refresh %v; want accepted: %t", iss, login, refresh, ok)
			}
		})
	}
}

// An answer about another person is another person's, mixed up by the server or by a cache: its
// tokens would take over that session.
func TestRefreshAnsweredWithAnotherPersonsTokensIsNoRefresh(t *testing.T) {
	about := func(subject string) string {
		return jwtOf(`{"alg":"RS256"}`, "{"+atNow(`"iss":"https://as.test","sub":`+subject+`,"aud":"c","iat":NOW,"exp":NOW+600`)+"}")
	}
	for name, tt := range map[string]struct {
		had, got string
		same     bool
	}{
		"the same person":            {about(`"alice"`), about(`"alice"`), true},
		"another":                    {about(`"alice"`), about(`"bob"`), false},
		"another case":               {about(`"alice"`), about(`"Alice"`), false},
		"a name that begins so":      {about(`"alice"`), about(`"alice2"`), false},
		"a number, and another":      {about("7"), about("8"), false},
		"a number, and the same":     {about("7"), about(`"7"`), true},
		"no ID token before":         {"", about(`"bob"`), true},
		"no ID token now":            {about(`"alice"`), "", true},
		"one that cannot be read":    {about(`"alice"`), "x.y.z", true}, // which is left out
		"one that could not be read": {"x.y.z", about(`"bob"`), true},
	} {
		o := oddAnswer{Body: `{"access_token":"theirs","refresh_token":"their-refresh-token","id_token":` + inJSON(tt.got) + `}`, Ends: "clean"}
		c := over(o.wire(), func(cfg *oauth.Config) { cfg.ClientID, cfg.Issuer, cfg.Now = "c", "https://as.test", nil })
		pair, err := c.Refresh(t.Context(), &oauth.TokenPair{AccessToken: "a", RefreshToken: "r", IDToken: tt.had})
		if (err == nil) != tt.same || (pair != nil) != tt.same || err != nil && (!errors.Is(err, oauth.ErrTransient) || !errors.Is(err, oauth.ErrIDToken)) {
			t.Errorf("%s: %v, %v; want it taken over: %v", name, pair, err, tt.same)
		}
	}
}
