package oauth_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/register"
)

// reported reads inputs that people reported against other programs.
func reported(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/cases/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// An oddAnswer is a good answer whose tokens, at-2 and rt-2, come in an odd way.
type oddAnswer struct {
	ID          string `json:"id"`
	ContentType string `json:"content_type"`
	Body        string `json:"body"`
	Ends        string `json:"ends"`
	Right       string `json:"right"`
}

// wire gives the answer to every request.
func (o oddAnswer) wire() *wire {
	return &wire{answer: func(*http.Request) (*http.Response, error) {
		body := io.Reader(strings.NewReader(o.Body))
		if o.Ends != "clean" {
			body = io.MultiReader(body, iotest.ErrReader(io.ErrUnexpectedEOF))
		}
		header := http.Header{"Content-Type": {o.ContentType}, "Date": {time.Now().UTC().Format(http.TimeFormat)}}
		return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(body)}, nil
	}}
}

func oddAnswers(t *testing.T) []oddAnswer {
	var answers []oddAnswer
	reported(t, "token-answers.json", &answers)
	for i, o := range answers {
		if o.ID == "latin-1" {
			answers[i].Body = strings.ReplaceAll(o.Body, "ö", "\xf6")
		}
	}
	const good = `{"access_token":"at-2","token_type":"Bearer","expires_in":600,"refresh_token":"rt-2"`
	return append(answers,
		oddAnswer{"cut behind the tokens", "application/json", good, "unexpected EOF", "renewed"},
		oddAnswer{"cut in the scope", "application/json", good + `,"scope":"re`, "unexpected EOF", "renewed"},
		oddAnswer{"cut and ended well", "application/json", good + `,"sco`, "clean", "renewed"},
		oddAnswer{"cut before the refresh token", "application/json", `{"access_token":"at-2","expires_in":600,`, "unexpected EOF", "unknown"},
		oddAnswer{"form cut in the refresh token", "application/x-www-form-urlencoded", "access_token=at-2&refresh_token=rt", "unexpected EOF", "unknown"},
		oddAnswer{"exact name beside another", "application/json", `{"Access_Token":"x","access_token":"at-2","REFRESH_TOKEN":"rt-2"}`, "clean", "renewed"},
		oddAnswer{"NUL in the token", "application/json", "{\"access_token\":\"at\x00-2\",\"refresh_token\":\"rt-2\"}", "clean", "unread"},
		oddAnswer{"a page with a token in a script", "text/html", `<html><script>{"access_token":"at-2","refresh_token":"rt-2"}</script>`, "clean", "unknown"},
	)
}

// receiving are the ways in which tokens come.
var receiving = map[string]func(t *testing.T, o oddAnswer) (*oauth.TokenPair, error){
	"refresh": func(t *testing.T, o oddAnswer) (*oauth.TokenPair, error) {
		return over(o.wire(), pathOf(o)).Refresh(t.Context(), &oauth.TokenPair{AccessToken: "at-1", RefreshToken: "rt-1"})
	},
	"login": func(t *testing.T, o oddAnswer) (*oauth.TokenPair, error) {
		c := over(o.wire(), pathOf(o), func(cfg *oauth.Config) {
			cfg.AuthURL, cfg.RedirectURL = "https://auth.test/auth", "https://app.test/cb"
		})
		req, err := c.AuthCodeURL()
		if err != nil {
			t.Fatal(err)
		}
		return c.Exchange(t.Context(), req, url.Values{"state": {req.State}, "code": {"c"}})
	},
	"device": func(t *testing.T, o oddAnswer) (pair *oauth.TokenPair, err error) {
		synctest.Test(t, func(t *testing.T) {
			code := &oauth.DeviceCode{DeviceCode: "d", Interval: time.Second, ExpiresAt: time.Now().Add(2 * time.Second)}
			pair, err = over(o.wire(), pathOf(o)).DeviceToken(t.Context(), code)
		})
		return pair, err
	},
	"dialect": func(t *testing.T, o oddAnswer) (*oauth.TokenPair, error) {
		var cfg oauth.Config
		pathOf(o)(&cfg)
		d := dialect.Kratos()
		d.Answer.TokenPath = cfg.TokenPath
		c := dialect.NewClient(d, dialect.Config{BaseURL: "https://auth.test", HTTPClient: &http.Client{Transport: o.wire()}})
		return c.Refresh(t.Context(), &oauth.TokenPair{AccessToken: "at-1", RefreshToken: "rt-1"})
	},
}

// pathOf configures where the tokens of the nested answers are.
func pathOf(o oddAnswer) func(*oauth.Config) {
	_, path, _ := strings.Cut(o.ID, "nested-")
	return func(cfg *oauth.Config) { cfg.TokenPath = strings.ReplaceAll(path, "-", "_") }
}

func TestF63_TokensInAnOddAnswerAreTaken(t *testing.T) {
	for _, o := range oddAnswers(t) {
		for way, receiving := range receiving {
			t.Run(o.ID+"/"+way, func(t *testing.T) {
				pair, err := receiving(t, o)
				if o.Right == "unknown" || strings.HasPrefix(o.Right, "unknown:") {
					if err == nil || way == "refresh" && !failure(t, err).Unknown() {
						t.Errorf("got %v, %v; want an unknown outcome", pair, err)
					}
					return
				}
				if o.Right == "unread" {
					if err == nil || way == "refresh" && failure(t, err).Verdict() != oauth.VerdictUnread {
						t.Errorf("got %v, %v; want an error that the answer is unread", pair, err)
					}
					return
				}
				if err != nil || pair.AccessToken != "at-2" || pair.RefreshToken != "rt-2" {
					t.Errorf("got %v, %v; want both tokens", pair, err)
				}
			})
		}
	}
}

func TestNestedTokensNeedAPath(t *testing.T) {
	const body = `{"ok":true,"access_token":"bot","refresh_token":"bot-r","authed_user":{"access_token":"at-2","expires_in":600}}`
	for path, want := range map[string]string{"": "bot bot-r", "authed_user": "at-2 rt-1", "missing": "bot bot-r", "authed_user.missing": " "} {
		c := over(answering(200, body), func(cfg *oauth.Config) { cfg.TokenPath = path })
		pair, err := c.Refresh(t.Context(), &oauth.TokenPair{RefreshToken: "rt-1"})
		if err != nil {
			pair = &oauth.TokenPair{}
		}
		if got := pair.AccessToken + " " + pair.RefreshToken; got != want {
			t.Errorf("path %q: %q, %v; want %q", path, got, err, want)
		}
	}
	nested := strings.ReplaceAll(body, `"access_token":"bot","refresh_token":"bot-r",`, "")
	if pair, err := over(answering(200, nested)).RefreshToken(t.Context(), "r"); err == nil {
		t.Errorf("tokens at a place that nobody named: %v", pair)
	}
	plainID := over(answering(200, body)).ConfigID()
	if plainID == over(answering(200, body), func(cfg *oauth.Config) { cfg.TokenPath = "x" }).ConfigID() {
		t.Error("another path has the same ConfigID; what was refused under one may work under the other")
	}
}

// A refusal of which the end is missing decides nothing.
func TestRefusalThatIsCutIsNoVerdict(t *testing.T) {
	for _, body := range []string{`{"error":"invalid_grant"`, `{"error":"invalid_grant"}`} {
		w := &wire{answer: func(*http.Request) (*http.Response, error) {
			cut := io.MultiReader(strings.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF))
			return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(cut)}, nil
		}}
		if _, err := over(w).RefreshToken(t.Context(), "r"); !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("%s: %v; want ErrTransient", body, err)
		}
	}
	w := answering(400, "\ufeff{\"Error\":\"invalid_grant\",}")
	if _, err := over(w).RefreshToken(t.Context(), "r"); !errors.Is(err, oauth.ErrLoginRequired) {
		t.Errorf("a whole one in odd JSON: %v; want ErrLoginRequired", err)
	}
}

func TestOddAnswersToOtherRequestsAreRead(t *testing.T) {
	const device = `{"device_code":"d","User_Code":"u","verification_uri":"https://auth.test/d"`
	withDevice := func(cfg *oauth.Config) { cfg.DeviceAuthURL = "https://auth.test/device" }
	if code, err := over(answering(200, "\ufeff"+device+",}"), withDevice).DeviceAuth(t.Context()); err != nil || code.UserCode != "u" {
		t.Errorf("device code: %v, %v", code, err)
	}
	if code, err := over(answering(200, device+`,"expires_in":`), withDevice).DeviceAuth(t.Context()); err == nil {
		t.Errorf("a cut device code: %v; nothing is lost by asking again", code)
	}
	cfg := oauth.Config{Endpoints: oauth.Endpoints{Registration: "https://auth.test/register"}, HTTPClient: &http.Client{Transport: answering(201, "\ufeff{\"client_id\":\"c\"}\n<!-- -->")}}
	if r, err := register.Client(t.Context(), "https://auth.test", register.Metadata{}, cfg); err != nil || r.ClientID != "c" {
		t.Errorf("registration: %v, %v", r, err)
	}
}

func TestEveryTypeButDPoPAndMACIsPresentedAsBearer(t *testing.T) {
	var cases struct {
		Types []string `json:"token_types"`
	}
	reported(t, "token-types.json", &cases)
	for _, kind := range cases.Types {
		w := answering(200, `{"sub":"u"}`)
		c := over(w, func(cfg *oauth.Config) { cfg.Endpoints.Userinfo = "https://auth.test/userinfo" })
		if _, err := c.Userinfo(t.Context(), &oauth.TokenPair{AccessToken: "at-2", TokenType: kind}); err != nil {
			t.Errorf("%q: %v", kind, err)
			continue
		}
		if got := w.requests()[0].Header.Get("Authorization"); got != "Bearer at-2" {
			t.Errorf("%q: sent %q; want Bearer at-2", kind, got)
		}
	}
}

// jwtOf returns a JWT with header and claims in these words.
func jwtOf(header, claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(claims)) + ".c2ln"
}

// atNow fills in times of a reported input.
func atNow(text string) string {
	now := time.Now().Unix()
	text = strings.ReplaceAll(text, "NOW+3600", fmt.Sprint(now+3600))
	text = strings.ReplaceAll(text, "NOW+600", fmt.Sprint(now+600))
	return strings.ReplaceAll(text, "NOW", fmt.Sprint(now))
}

func TestJWTTellsItsLife(t *testing.T) {
	var cases struct {
		Cases []struct{ Claims string }
	}
	reported(t, "jwt-lifetimes.json", &cases)
	claims := []string{`"exp":NOW+3600`, `"exp":"NOW+3600","iat":NOW.5`, `"orig_iat":NOW,"exp":NOW+3600,"aud":5`, `"exp":NOW+3600,"iat":"then"`}
	for _, c := range cases.Cases {
		claims = append(claims, c.Claims)
	}
	for _, c := range claims {
		synctest.Test(t, func(t *testing.T) {
			for _, header := range []string{`{"alg":"RS256"}`, `{"alg":"ML-DSA-65"}`} {
				token := jwtOf(header, "{"+atNow(c)+"}")
				pair, err := receiving["refresh"](t, oddAnswer{Body: `{"access_token":"` + token + `"}`, Ends: "clean"})
				if err != nil {
					t.Fatal(err)
				}
				if life, known := pair.Lifetime(); !known || life != time.Hour {
					t.Errorf("%s: lifetime %v (known: %v); want an hour", c, life, known)
				}
			}
		})
	}
}

func TestEndOfRefreshTokenIsKnownUnderEveryName(t *testing.T) {
	var cases struct{ Members, Guards []string }
	reported(t, "refresh-ends.json", &cases)
	members := append(cases.Members, cases.Guards...)
	for _, name := range []string{
		"refreshExpiresIn", "refreshTokenExpiresAt", "refresh_token_expires_on", "refresh_token_expiration", "refresh_token_expiry",
		"refresh_token_lifetime", "rt_expires_in", "Refresh-Token-Expires-In", "REFRESH_TOKEN_EXPIRES_IN", "refresh_token_expires_in_seconds",
	} {
		members = append(members, fmt.Sprintf("%q:8640000", name), fmt.Sprintf(`%q:"8640000"`, name), fmt.Sprintf(`%q:"RFC3339"`, name))
	}
	for _, name := range []string{"refreshTokenExpiresAt", "refresh_token_expires_on", "refresh_token_expiration", "refresh-token-expiry", "RefreshExpires"} {
		members = append(members, fmt.Sprintf(`%q:"EPOCH"`, name), fmt.Sprintf(`%q:EPOCH000`, name))
	}
	for _, member := range members {
		synctest.Test(t, func(t *testing.T) {
			want := time.Now().Add(100 * 24 * time.Hour)
			member = strings.ReplaceAll(member, "EPOCH", fmt.Sprint(want.Unix()))
			member = strings.ReplaceAll(member, "RFC3339", want.UTC().Format(time.RFC3339))
			pair, err := receiving["refresh"](t, oddAnswer{Body: `{"access_token":"a","refresh_token":"r","expires_in":60,` + member + `}`, Ends: "clean"})
			if err != nil || !pair.RefreshExpiresAt.Equal(want) {
				t.Errorf("%s: %v, %v; want the end in 100 days", member, pair, err)
			}
			if life, _ := pair.Lifetime(); life != time.Minute {
				t.Errorf("%s: the access token's life is %v; want a minute", member, life)
			}
		})
	}
}

func TestIDTokensAsReportedLogIn(t *testing.T) {
	var cases []struct{ ID, Header, Claims string }
	reported(t, "id-tokens.json", &cases)
	for _, tt := range cases {
		t.Run(tt.ID, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id := jwtOf(tt.Header, atNow(tt.Claims))
				o := oddAnswer{Body: `{"access_token":"a","id_token":"` + id + `"}`, Ends: "clean"}
				c := over(o.wire(), func(cfg *oauth.Config) {
					cfg.ClientID, cfg.Issuer = "c", "https://as.test"
					if strings.Contains(tt.Claims, `"accounts.`) {
						cfg.Issuer = "https://accounts.as.test"
					}
					if strings.Contains(tt.Claims, "tid") {
						cfg.Issuer, cfg.IssuerTemplate = "https://as.test/common/v2.0", "https://as.test/{tenantid}/v2.0"
					}
				})
				if pair, err := c.Password(t.Context(), "alice", "wonderland"); err != nil || pair.IDToken == "" {
					t.Errorf("login: %v, %v", pair, err)
				}
			})
		})
	}
}

func TestOnlyEncryptedIDTokensAreCalledSo(t *testing.T) {
	for id, want := range map[string]bool{"e30.a.b.c.d": true, "e30.e30.x": false, "nonsense": false} {
		_, err := over(answering(200, `{"access_token":"a","id_token":"`+id+`"}`)).Password(t.Context(), "alice", "wonderland")
		if fail := failure(t, err); strings.Contains(fail.Hint, "encrypted") != want {
			t.Errorf("%s: hint %q", id, fail.Hint)
		}
	}
}

func TestDiscoveryTakesTheConfiguredTemplate(t *testing.T) {
	const common, meta = "https://as.test/common/v2.0", `{"issuer":"https://as.test/{tenantid}/v2.0","token_endpoint":"https://as.test/token"}`
	w := published(map[string]*http.Response{common + "/.well-known/openid-configuration": response(200, meta)})
	_, err := oauth.Discover(t.Context(), common, oauth.Config{ClientID: "c", HTTPClient: &http.Client{Transport: w}})
	if fail := failure(t, err); !strings.Contains(fail.Hint, "IssuerTemplate") {
		t.Errorf("without a template: %v; want a hint that can be followed", err)
	}
	for template, ok := range map[string]bool{"https://as.test/{tenantid}/v2.0": true, "https://other.test/{tenantid}/v2.0": false} {
		w := published(map[string]*http.Response{common + "/.well-known/openid-configuration": response(200, meta)})
		c, err := oauth.Discover(t.Context(), common, oauth.Config{ClientID: "c", IssuerTemplate: template, HTTPClient: &http.Client{Transport: w}})
		if ok != (err == nil) || ok && c.Config().TokenURL != "https://as.test/token" {
			t.Errorf("%s: %v", template, err)
		}
	}
}

func TestOAuth2TokenInJSONKeepsItsExpiry(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, body := range []string{
		`{"access_token":"a","token_type":"Bearer","refresh_token":"r","expiry":"2026-11-20T10:00:00Z"}`,
		`{"access_token":"a","expiry":"1999-01-01T00:00:00Z","expires_at":"2026-11-20T10:00:00Z"}`,
	} {
		var pair oauth.TokenPair
		if err := json.Unmarshal([]byte(body), &pair); err != nil || !pair.ExpiresAt.Equal(at) || len(pair.Extra) != 0 {
			t.Errorf("%s: %v, %v, extra %s", body, pair, err, pair.Extra)
		}
	}
	var pair oauth.TokenPair
	if err := json.Unmarshal([]byte(`{"access_token":"a","expiry":"0001-01-01T00:00:00Z"}`), &pair); err != nil || !pair.ExpiresAt.IsZero() {
		t.Errorf("x/oauth2's zero time: %v, %v", pair, err)
	}
}

func TestNoticeBeforeARefusalMakesNoPage(t *testing.T) {
	_, err := over(answering(400, "<br />\n<b>Notice</b>: x<br />\n"+`{"error":"invalid_grant"}`)).RefreshToken(t.Context(), "r")
	if fail := failure(t, err); fail.Page || fail.Code != "invalid_grant" {
		t.Errorf("page %v, code %q; want the refusal", fail.Page, fail.Code)
	}
}

func TestLoginReturnsFromTheIssuerOfATenant(t *testing.T) {
	for iss, ok := range map[string]bool{"https://as.test/t-1/v2.0": true, "https://as.test/common/v2.0": true, "https://as.test/a/b/v2.0": false, "https://evil.test/t-1/v2.0": false} {
		c := over(answering(200, okBody), func(cfg *oauth.Config) {
			cfg.AuthURL, cfg.RedirectURL = "https://as.test/auth", "https://app.test/cb"
			cfg.Issuer, cfg.IssuerTemplate = "https://as.test/common/v2.0", "https://as.test/{tenantid}/v2.0"
		})
		req, err := c.AuthCodeURL()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exchange(t.Context(), req, url.Values{"state": {req.State}, "code": {"c"}, "iss": {iss}}); ok != (err == nil) {
			t.Errorf("%s: %v", iss, err)
		}
	}
}

func TestIssuerWithoutASchemeIsTheSameAccount(t *testing.T) {
	pair := func(iss string) *oauth.TokenPair {
		return &oauth.TokenPair{IDToken: jwtOf(`{"alg":"RS256"}`, `{"iss":"`+iss+`","sub":7}`)}
	}
	if !pair("accounts.as.test").SameAccount(pair("https://accounts.as.test")) || pair("a.test").SameAccount(pair("https://b.test")) {
		t.Error("accounts are told apart by the scheme, or not by the issuer")
	}
}
