package tokenstore_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestFingerprintNamesATokenWithoutRevealingIt(t *testing.T) {
	// The first half of what "printf secret | sha256sum" prints.
	if got, want := tokenstore.Fingerprint("secret"), "2bb80d537b1da3e38bd30361aa855686"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	if got := tokenstore.Fingerprint(""); got != "" {
		t.Errorf("fingerprint of no token is %q", got)
	}
}

func TestMarkIsOnItsTokenOnly(t *testing.T) {
	m := &tokenstore.Mark{Token: tokenstore.Fingerprint("a")}
	if !m.On("a") || m.On("b") || m.On("") || (*tokenstore.Mark)(nil).On("a") || new(tokenstore.Mark).On("") {
		t.Errorf("a mark is on another token than its own")
	}
}

// A server may give a refresh token again that it has given before.
func TestAPairDoesNotDescendFromItself(t *testing.T) {
	rec := new(tokenstore.Record)
	for _, token := range []string{"1", "2", "1"} {
		rec.Supersede(newPair(token))
	}
	if rec.Descends(rec.Tokens.RefreshToken) || !rec.Descends(newPair("2").RefreshToken) {
		t.Errorf("%v descends from %v", rec.Tokens.RefreshToken, rec.Ancestors)
	}
}

func TestSupersede(t *testing.T) {
	mark := &tokenstore.Mark{Token: tokenstore.Fingerprint("refresh-0")}
	rec := &tokenstore.Record{Tokens: newPair("0"), Pending: mark, Refused: mark, Dead: mark, NotBefore: time.Now(), AskedAt: time.Now()}
	rec.Supersede(newPair("1"))
	if rec.Pending != nil || rec.Refused != nil || rec.Dead != nil || !rec.NotBefore.IsZero() || !rec.AskedAt.IsZero() {
		t.Errorf("marks on the old token are still there")
	}
	if !rec.Descends("refresh-0") || rec.Descends("refresh-1") || rec.Descends("") {
		t.Errorf("the old token is not an ancestor, or the new one is")
	}
	rec.Supersede(newPair("1")) // a server that does not rotate
	if rec.Descends("refresh-1") {
		t.Errorf("a refresh token is its own ancestor")
	}
	shared := rec.Ancestors
	for i := 2; i < 40; i++ {
		rec.Supersede(newPair(fmt.Sprint(i)))
	}
	if n := len(rec.Ancestors); n != 16 {
		t.Errorf("%d ancestors; want 16", n)
	}
	if !rec.Descends("refresh-0") || rec.Descends("refresh-1") || rec.Descends("refresh-23") || !rec.Descends("refresh-24") || !rec.Descends("refresh-38") {
		t.Errorf("not the first ancestor and the latest ones were kept")
	}
	if len(shared) != 1 {
		t.Errorf("Supersede wrote to a slice that others hold")
	}
	copied, before := *rec, slices.Clone(rec.Ancestors)
	copied.Supersede(newPair("40"))
	if !slices.Equal(rec.Ancestors, before) {
		t.Errorf("Supersede of a copy changed the ancestors of the record")
	}
}

func TestSpent(t *testing.T) {
	now := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	dead := func(ago time.Duration) *tokenstore.Mark {
		return &tokenstore.Mark{Token: tokenstore.Fingerprint("r"), At: now.Add(-ago), Certain: true}
	}
	expired := func(p oauth.TokenPair) *oauth.TokenPair {
		p.AccessToken, p.ExpiresAt = "a", now.Add(-time.Second)
		return &p
	}
	for what, test := range map[string]struct {
		rec  tokenstore.Record
		want bool
	}{
		"no tokens":                       {tokenstore.Record{}, true},
		"alive":                           {tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: now.Add(1)}}, false},
		"good for ever":                   {tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a"}}, false},
		"expired, nothing to renew with":  {tokenstore.Record{Tokens: expired(oauth.TokenPair{})}, true},
		"expired, renewable":              {tokenstore.Record{Tokens: expired(oauth.TokenPair{RefreshToken: "r"})}, false},
		"refresh token expired":           {tokenstore.Record{Tokens: expired(oauth.TokenPair{RefreshToken: "r", RefreshExpiresAt: now})}, true},
		"refresh token not yet expired":   {tokenstore.Record{Tokens: expired(oauth.TokenPair{RefreshToken: "r", RefreshExpiresAt: now.Add(1)})}, false},
		"dead for 29 days":                {tokenstore.Record{Tokens: expired(oauth.TokenPair{RefreshToken: "r"}), Dead: dead(29 * day)}, false},
		"dead for 30 days":                {tokenstore.Record{Tokens: expired(oauth.TokenPair{RefreshToken: "r"}), Dead: dead(30 * day)}, true},
		"another token dead":              {tokenstore.Record{Tokens: expired(oauth.TokenPair{RefreshToken: "s"}), Dead: dead(99 * day)}, false},
		"dead, access token's end open":   {tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}, Dead: dead(30 * day)}, true},
		"expired, can be asked for again": {tokenstore.Record{Tokens: expired(oauth.TokenPair{GrantType: oauth.GrantTypeClientCredentials})}, false},
		"not asked for again for 30 days": {tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: now.Add(-30 * day), GrantType: "g"}}, true},
		"only a refresh token, renewable": {tokenstore.Record{Tokens: &oauth.TokenPair{RefreshToken: "r"}}, false},
	} {
		if got := test.rec.Spent(now); got != test.want {
			t.Errorf("%s: spent %v; want %v", what, got, test.want)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	fresh := func() *tokenstore.Record {
		return &tokenstore.Record{
			Tokens:    &oauth.TokenPair{AccessToken: "a", Extra: map[string]json.RawMessage{"x": json.RawMessage(`1`)}},
			Pending:   &tokenstore.Mark{Code: "p"},
			Refused:   &tokenstore.Mark{Code: "r"},
			Dead:      &tokenstore.Mark{Code: "d"},
			Ancestors: []string{"a"},
			Replaced:  []string{"r"},
			Unknown:   map[string]json.RawMessage{"x": json.RawMessage(`1`)},
		}
	}
	rec := fresh()
	c := rec.Clone()
	if !reflect.DeepEqual(c, rec) {
		t.Fatalf("the copy is another record")
	}
	c.Tokens.AccessToken, c.Tokens.Extra["x"][0] = "changed", '2'
	c.Pending.Code, c.Refused.Code, c.Dead.Code = "changed", "changed", "changed"
	c.Ancestors[0], c.Replaced[0], c.Unknown["x"][0] = "changed", "changed", '2'
	c.Unknown["y"] = json.RawMessage(`2`)
	if !reflect.DeepEqual(rec, fresh()) {
		t.Errorf("changing the copy changed the record")
	}
	if (*tokenstore.Record)(nil).Clone() != nil {
		t.Errorf("the copy of nil is something")
	}
}

func TestRecordPrintsNoToken(t *testing.T) {
	rec := tokenstore.Record{
		Tokens:  &oauth.TokenPair{AccessToken: "secret-a", RefreshToken: "secret-r", IDToken: "secret-i", Extra: map[string]json.RawMessage{"x": json.RawMessage(`"secret-x"`)}},
		Unknown: map[string]json.RawMessage{"x": json.RawMessage(`"secret-u"`)},
	}
	var printed strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&printed, verb+verb+verb, rec, &rec, struct{ R *tokenstore.Record }{&rec})
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "rec", rec, "ptr", &rec)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "rec", rec, "ptr", &rec)
	if all := printed.String() + log.String(); strings.Contains(all, "secret") || strings.Contains(all, "736563726574") {
		t.Errorf("a token was printed: %s", all)
	}
}
