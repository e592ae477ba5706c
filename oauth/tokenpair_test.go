package oauth_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/register"
)

// secret is planted wherever a secret can be, and searched in whatever is
// printed. hexSecret is how %x would show it.
const secret = "PLANTED-s3cr3t"

var hexSecret = fmt.Sprintf("%x", secret)

// secretD is the private part of secretKey.
const (
	secretD   = "EaXMAABiNsYN9D6ylKFj2ma1OFPirBwP8xOLKt4EmNs"
	secretKey = `{"kty":"EC","crv":"P-256","x":"XT9-QywqxpGiEAkG-7DZSLDQcl_tA38brno14CBaQto","y":"AAM25mr7qmqyuqti6XMbk9WNUhwrf2QBPB63IXHaLAE","d":"` + secretD + `"}`
	// What fmt makes of its big integer and of its bytes, in part.
	decimalD, hexD = "7982256", "11a5cc0000"
)

// plantedKey returns secretKey as a pair has it.
func plantedKey() oauth.DPoPKey {
	var key oauth.DPoPKey
	if err := json.Unmarshal([]byte(secretKey), &key); err != nil {
		panic(err)
	}
	return key
}

func leaks(text string) bool {
	if strings.Contains(text, secretD) || strings.Contains(text, decimalD) || strings.Contains(strings.ToLower(text), hexD) {
		return true
	}
	text = strings.ToLower(text)
	return strings.Contains(text, strings.ToLower(secret)) || strings.Contains(text, hexSecret) ||
		strings.Contains(text, fmt.Sprint([]byte(secret))) || strings.Contains(text, strings.Trim(fmt.Sprint([]byte(secret)), "[]"))
}

// secretPair has the secret in every field that can hold one.
func secretPair() *oauth.TokenPair {
	return &oauth.TokenPair{
		AccessToken: secret + "-a", RefreshToken: secret + "-r", TokenType: secret, Scope: secret, IDToken: secret,
		ExpiresIn: 60, ExpiresAt: time.Unix(2000000000, 0), DPoPKey: plantedKey(),
		Extra: map[string]json.RawMessage{secret: json.RawMessage(`"` + secret + `"`)},
	}
}

// printables are the values that hold secrets and may be printed.
func printables(t *testing.T) map[string]any {
	t.Helper()
	pair := secretPair()
	cfg := oauth.Config{ClientID: "id", TokenURL: "https://auth.test/token?key=" + secret, AuthURL: "https://auth.test/auth", RedirectURL: "https://app.test/cb"}
	key := ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%-32.32s", secret)) // of which the seed is a part
	cert := &tls.Certificate{Certificate: [][]byte{[]byte(secret)}, PrivateKey: key}
	cfg.ClientAuth = oauth.PrivateKeyJWT(oauth.AssertionKey{Signer: key, KeyID: secret}).Presenting(cert)
	bySecret := cfg
	bySecret.ClientAuth, bySecret.ClientSecret = oauth.SecretPost(secret), secret
	client := oauth.NewClient(cfg)
	login, err := client.AuthCodeURL()
	if err != nil {
		t.Fatal(err)
	}
	login.State, login.Verifier, login.Nonce, login.URL = secret, secret, secret, "https://auth.test/auth?state="+secret
	code := &oauth.DeviceCode{DeviceCode: secret, UserCode: secret, VerificationURI: "https://auth.test/device", VerificationURIComplete: "https://auth.test/device?code=" + secret}
	return map[string]any{
		"pair": *pair, "pair pointer": pair,
		"config": cfg, "config pointer": &cfg, "client": client,
		"authentication": cfg.ClientAuth, "by secret": bySecret.ClientAuth, "config with a secret": bySecret,
		"login": *login, "login pointer": login,
		"registration":   register.Registration{ClientID: "id", ClientSecret: secret, AccessToken: secret},
		"logout":         oauth.LogoutRequest{URL: "https://auth.test/logout?id_token_hint=" + secret, State: secret},
		"token exchange": oauth.TokenExchange{SubjectToken: secret, ActorToken: secret},
		"device code":    *code, "device code pointer": code,
		"DPoP key": pair.DPoPKey, "DPoP key pointer": &pair.DPoPKey,
	}
}

// allVerbs are the verbs that ask an operand how it wants to be printed. %p and
// a %w outside Errorf are complaints of fmt, which nothing can redact.
var allVerbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%t", "%c", "%e", "%U", "%o", "% x", "%10v", "%-5s", "%.3s"}

func TestNoVerbPrintsASecret(t *testing.T) {
	for name, value := range printables(t) {
		for where, v := range map[string]any{
			"itself":       value,
			"struct":       struct{ Value any }{value},
			"slice":        []any{value},
			"array":        [1]any{value},
			"map":          map[string]any{"k": value},
			"map of slice": map[string][]any{"k": {value}},
			"pointer":      &struct{ Value any }{value},
		} {
			for _, verb := range allVerbs {
				if text := fmt.Sprintf(verb, v); leaks(text) {
					t.Errorf("%s in %s printed with %s shows a secret: %s", name, where, verb, text)
				}
			}
			if text := fmt.Sprint(v) + fmt.Sprintln(v); leaks(text) {
				t.Errorf("%s in %s shows a secret: %s", name, where, text)
			}
		}
	}
}

func TestTypedContainersPrintNoSecret(t *testing.T) {
	p := secretPair()
	for _, v := range []any{
		[]oauth.TokenPair{*p}, []*oauth.TokenPair{p}, map[string]*oauth.TokenPair{"k": p}, map[string]oauth.TokenPair{"k": *p},
		struct{ P oauth.TokenPair }{*p}, struct{ P *oauth.TokenPair }{p}, struct{ *oauth.TokenPair }{p},
	} {
		for _, verb := range allVerbs {
			if text := fmt.Sprintf(verb, v); leaks(text) {
				t.Errorf("%T printed with %s shows a secret: %s", v, verb, text)
			}
		}
	}
	// Where fmt meets a pointer inside a struct it prints an address, if the
	// verb fits.
	for _, v := range []any{struct{ p *oauth.TokenPair }{p}, struct{ P *struct{ P any } }{&struct{ P any }{p}}, &p, []**oauth.TokenPair{&p}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d"} {
			if text := fmt.Sprintf(verb, v); leaks(text) {
				t.Errorf("%T printed with %s shows a secret: %s", v, verb, text)
			}
		}
	}
}

func TestNoLogHandlerShowsASecret(t *testing.T) {
	for name, value := range printables(t) {
		var text, js bytes.Buffer
		for _, logger := range []*slog.Logger{
			slog.New(slog.NewTextHandler(&text, nil)),
			slog.New(slog.NewJSONHandler(&js, nil)),
		} {
			logger.Info("attribute", "value", value)
			logger.Info("group", slog.Group("g", slog.Any("value", value)))
			logger.With("value", value).WithGroup("g").Info("bound")
		}
		textLogger := slog.New(slog.NewTextHandler(&text, nil))
		textLogger.Info("containers", "struct", struct{ Value any }{value}, "slice", []any{value}, "map", map[string]any{"k": value})
		if leaks(text.String()) || leaks(js.String()) {
			t.Errorf("%s shows a secret in a log:\n%s%s", name, text.String(), js.String())
		}
		if strings.Contains(text.String()+js.String(), "panicked") || strings.Contains(js.String(), "!ERROR") {
			t.Errorf("logging %s failed: %s", name, js.String())
		}
	}
}

func TestRedactedPairStillTells(t *testing.T) {
	if got, want := fmt.Sprint(secretPair()), "oauth.TokenPair{access:[redacted] refresh:[redacted] expires:2033-05-18T03:33:20Z}"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	if got, want := fmt.Sprint(oauth.TokenPair{AccessToken: "a"}), "oauth.TokenPair{access:[redacted] refresh:none}"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestPairSurvivesJSON(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 123456789, time.UTC)
	pair := &oauth.TokenPair{
		AccessToken: "a", RefreshToken: "r", TokenType: "bearer", ExpiresIn: 3600,
		ExpiresAt: at.Add(time.Hour), IssuedAt: at, RefreshAt: at.Add(time.Minute), RefreshExpiresAt: at.Add(time.Hour * 24),
		Scope: "read write", IDToken: "i", Skew: -90 * time.Second,
		Extra: map[string]json.RawMessage{
			"tenant":        json.RawMessage(`{"id":7,"names":["<a>","b"]}`),
			"not_before":    json.RawMessage(`0`),
			"big":           json.RawMessage(`12345678901234567890`),
			"nothing":       json.RawMessage(`null`),
			"session_state": json.RawMessage(`"s"`),
		},
	}
	data, err := json.Marshal(pair)
	if err != nil {
		t.Fatal(err)
	}
	var got oauth.TokenPair
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if string(got.Extra["tenant"]) != `{"id":7,"names":["\u003ca\u003e","b"]}` {
		t.Errorf("tenant came back as %s", got.Extra["tenant"])
	}
	got.Extra["tenant"] = pair.Extra["tenant"] // compared above: encoding/json escapes for HTML
	if !reflect.DeepEqual(&got, pair) {
		t.Errorf("got  %#v\nwant %#v", plain(&got), plain(pair))
	}
	again, err := json.Marshal(got)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("a second round trip gives %s; want %s (error %v)", again, data, err)
	}
}

// plain prints the fields of test data.
func plain(p *oauth.TokenPair) map[string]any {
	return map[string]any{
		"access": p.AccessToken, "refresh": p.RefreshToken, "type": p.TokenType, "in": p.ExpiresIn, "at": p.ExpiresAt,
		"issued": p.IssuedAt, "refreshAt": p.RefreshAt, "refreshExpires": p.RefreshExpiresAt, "scope": p.Scope, "id": p.IDToken, "skew": p.Skew, "extra": p.Extra,
	}
}

func TestMinimalPairSurvivesJSON(t *testing.T) {
	data, err := json.Marshal(oauth.TokenPair{AccessToken: "a"})
	if err != nil || string(data) != `{"access_token":"a"}` {
		t.Errorf("got %s, %v; want the access token alone", data, err)
	}
}

func TestExtraFieldCannotShadowAToken(t *testing.T) {
	pair := oauth.TokenPair{AccessToken: "real", Extra: map[string]json.RawMessage{
		"access_token": json.RawMessage(`"forged"`), "refresh_token": json.RawMessage(`"forged"`), "x": json.RawMessage(`1`),
	}}
	data, err := json.Marshal(pair)
	if err != nil || strings.Contains(string(data), "forged") {
		t.Errorf("got %s, %v", data, err)
	}
}

func TestPairOfAnotherProgramIsRead(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		want       oauth.TokenPair
	}{
		{"expires_in as a string", `{"access_token":"a","expires_in":"60"}`, oauth.TokenPair{AccessToken: "a", ExpiresIn: 60}},
		{"expires_in as a float", `{"access_token":"a","expires_in":60.9}`, oauth.TokenPair{AccessToken: "a", ExpiresIn: 60}},
		{"scope as an array", `{"access_token":"a","scope":["r","w"]}`, oauth.TokenPair{AccessToken: "a", Scope: "r w"}},
		{"odd types are ignored", `{"access_token":"a","token_type":7,"expires_at":"soon","id_token":{},"scope":true}`, oauth.TokenPair{AccessToken: "a"}},
		{"a refresh token alone", `{"refresh_token":"r"}`, oauth.TokenPair{RefreshToken: "r"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got oauth.TokenPair
			if err := json.Unmarshal([]byte(tt.data), &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v; want %v", plain(&got), plain(&tt.want))
			}
		})
	}
}

func TestWhatIsNoPairIsRefusedWithoutItsContent(t *testing.T) {
	for _, data := range []string{`null`, `[]`, `"` + secret + `"`, `{}`, `{"access_token":""}`, `{"token":"` + secret + `"}`, `5`} {
		pair := oauth.TokenPair{AccessToken: "before"}
		err := json.Unmarshal([]byte(data), &pair)
		if data == "null" { // encoding/json may leave the value alone for null
			continue
		}
		if err == nil || leaks(err.Error()) {
			t.Errorf("%s gives error %v; want one without content", data, err)
		}
		if pair.AccessToken != "before" {
			t.Errorf("%s changed the pair though it was refused", data)
		}
	}
}

func FuzzTokenPairJSON(f *testing.F) {
	f.Add(`{"access_token":"a","refresh_token":"r","expires_in":"3600","expires_at":"2026-11-20T10:00:00Z","x":{"y":[1]}}`)
	f.Add(`{"access_token":"a","clock_skew":1e30,"expires_in":-1e400}`)
	f.Add(`{"refresh_token":"r","scope":["a"],"access_token":null,"expires_at":"9999-12-31T23:59:59-23:59"}`)
	f.Add(`{"access_token":"a","ACCESS_TOKEN":"b","":0}`)
	f.Add(`{"access_token":"a","token_type":"DPoP","dpop_key":` + secretKey + `}`)
	f.Fuzz(func(t *testing.T, data string) {
		var first, second oauth.TokenPair
		if json.Unmarshal([]byte(data), &first) != nil {
			return
		}
		if first.AccessToken == "" && first.RefreshToken == "" {
			t.Fatal("a pair without tokens was read")
		}
		stored, err := json.Marshal(first)
		if err != nil {
			t.Fatalf("what was read cannot be stored: %v", err)
		}
		if err := json.Unmarshal(stored, &second); err != nil {
			t.Fatalf("what was stored cannot be read: %v", err)
		}
		again, err := json.Marshal(second)
		if err != nil || !bytes.Equal(stored, again) {
			t.Fatalf("stored %s, then %s (error %v)", stored, again, err)
		}
	})
}

func TestCloneSharesNothing(t *testing.T) {
	pair := secretPair()
	pair.Extra = map[string]json.RawMessage{"k": json.RawMessage(`"v"`)}
	clone := pair.Clone()
	clone.Extra["k"][1] = 'x'
	clone.Extra["new"] = nil
	if string(pair.Extra["k"]) != `"v"` || len(pair.Extra) != 1 {
		t.Errorf("changing a clone changed the original: %s", pair.Extra)
	}
	if (*oauth.TokenPair)(nil).Clone() != nil {
		t.Error("a clone of nil is not nil")
	}
}

func TestTypeIsSpelledAsRegistered(t *testing.T) {
	for given, want := range map[string]string{"": "Bearer", "bearer": "Bearer", "BEARER": "Bearer", "dpop": "DPoP", "DPoP": "DPoP", " dpop ": "DPoP",
		"mac": "mac", "MAC": "MAC", "HMAC-SHA-256": "HMAC-SHA-256", "machine": "Bearer", "-": "Bearer"} {
		if got := (&oauth.TokenPair{TokenType: given}).Type(); got != want {
			t.Errorf("type of %q is %q; want %q", given, got, want)
		}
	}
}

func TestPairConvertsToOAuth2AndBack(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	pair := &oauth.TokenPair{
		AccessToken: "a", RefreshToken: "r", TokenType: "bearer", ExpiresIn: 60, ExpiresAt: at, Scope: "read", IDToken: "i",
		Extra: map[string]json.RawMessage{"tenant": json.RawMessage(`"t"`), "broken": json.RawMessage(`{`)},
	}
	tok := pair.OAuth2()
	if tok.AccessToken != "a" || tok.RefreshToken != "r" || tok.TokenType != "Bearer" || !tok.Expiry.Equal(at) || tok.ExpiresIn != 60 {
		t.Errorf("got %+v", tok)
	}
	if tok.Extra("scope") != "read" || tok.Extra("id_token") != "i" || tok.Extra("tenant") != "t" {
		t.Errorf("extra fields are lost: %v %v %v", tok.Extra("scope"), tok.Extra("id_token"), tok.Extra("tenant"))
	}
	back := oauth.FromOAuth2(tok)
	if back.AccessToken != "a" || back.RefreshToken != "r" || back.Type() != "Bearer" || !back.ExpiresAt.Equal(at) || back.Scope != "read" || back.IDToken != "i" || back.ExpiresIn != 60 {
		t.Errorf("got back %v", plain(back))
	}
	if !back.IssuedAt.IsZero() {
		t.Error("x/oauth2 does not know when a token was issued")
	}
	if oauth.FromOAuth2(nil) != nil {
		t.Error("the pair of a nil token is not nil")
	}
	if plain := oauth.FromOAuth2(&oauth2.Token{AccessToken: "a"}); !plain.ExpiresAt.IsZero() || plain.Scope != "" {
		t.Errorf("got %v", plain)
	}
}

// A cache is told an earlier Expiry than the token's end, which stands beside it.
func TestFromOAuth2TakesALaterEndThatTheTokenTells(t *testing.T) {
	expiry := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		expiry time.Time
		told   any
		want   time.Time
	}{
		{expiry, "2026-01-01T12:05:00.5Z", expiry.Add(5*time.Minute + time.Second/2)},
		{expiry, "2026-01-01T14:05:00+02:00", expiry.Add(5 * time.Minute)},
		{expiry, "2026-01-01T11:55:00Z", expiry},
		{expiry, "soon", expiry},
		{expiry, float64(expiry.Unix() + 300), expiry},
		{expiry, nil, expiry},
		{time.Time{}, "2026-01-01T12:05:00Z", time.Time{}},
	} {
		tok := (&oauth2.Token{AccessToken: "a", Expiry: tt.expiry}).WithExtra(map[string]any{"expires_at": tt.told})
		if got := oauth.FromOAuth2(tok).ExpiresAt; !got.Equal(tt.want) {
			t.Errorf("Expiry %v, expires_at %v: %v; want %v", tt.expiry, tt.told, got, tt.want)
		}
	}
}
