package storetest

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// secret is part of every token in the suite, and must be in no error.
const secret = "s3cr3t"

// pair returns a small pair whose tokens contain label.
func pair(label string) *oauth.TokenPair {
	return &oauth.TokenPair{
		AccessToken:  "access-" + secret + "-" + label,
		RefreshToken: "refresh-" + secret + "-" + label,
		ExpiresAt:    time.Now().Add(time.Hour),
	}
}

// record returns a new record with a small pair.
func record(label string) *tokenstore.Record { return &tokenstore.Record{Tokens: pair(label)} }

// full returns a record that sets every field, the version aside.
func full() *tokenstore.Record {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)
	tokens := pair("full")
	tokens.TokenType = "DPoP"
	tokens.ExpiresIn = 900
	tokens.ExpiresAt = at.Add(15 * time.Minute)
	tokens.IssuedAt = at.Add(time.Microsecond)
	tokens.RefreshAt = at.Add(10 * time.Minute)
	tokens.RefreshExpiresAt = at.Add(7 * 24 * time.Hour)
	tokens.GrantedAt = at.Add(-time.Hour)
	tokens.Scope = "openid offline_access"
	tokens.IDToken = "header.payload.signature"
	tokens.GrantType = "urn:example:grant"
	tokens.Skew = -2 * time.Second
	tokens.DPoPKey = dpopKey()
	tokens.Extra = map[string]json.RawMessage{
		"account": json.RawMessage(`{"id":12345678901234567890,"name":"Zoë <&> \u0000","tags":[null,true,1.50]}`),
		"empty":   json.RawMessage(`""`),
	}
	return &tokenstore.Record{
		Tokens:      tokens,
		Pending:     fullMark("a", "pending", at.Add(time.Second)),
		Refused:     fullMark("b", "invalid_request", at.Add(2*time.Second)),
		Dead:        fullMark("c", "invalid_grant", at.Add(3*time.Second)),
		NotBefore:   at.Add(4 * time.Second),
		AskedAt:     at.Add(3500 * time.Millisecond),
		WentBackAt:  at.Add(3750 * time.Millisecond),
		Places:      []string{"place-1", "place-2"},
		Login:       "login-1",
		Witnesses:   []string{"witness-1", "witness-2"},
		RefreshedAt: at.Add(5 * time.Second),
		RefreshedBy: "client",
		Ancestors:   []string{tokenstore.Fingerprint("d"), tokenstore.Fingerprint("e")},
		Replaced:    []string{tokenstore.Fingerprint("f")},
		Unknown: map[string]json.RawMessage{
			"from_the_future": json.RawMessage(`{"list":[1,2,{"deep":"<value>"}]}`),
			"null":            json.RawMessage(`null`),
		},
	}
}

func fullMark(token, code string, at time.Time) *tokenstore.Mark {
	return &tokenstore.Mark{
		Token: tokenstore.Fingerprint(token), At: at, Code: code,
		By: "client of " + token, Certain: true, Last: at.Add(time.Minute), Count: 3,
	}
}

// dpopKey returns a key whose y begins with a zero byte.
func dpopKey() (key oauth.DPoPKey) {
	err := json.Unmarshal([]byte(`{"kty":"EC","crv":"P-256",
		"x":"XT9-QywqxpGiEAkG-7DZSLDQcl_tA38brno14CBaQto", "y":"AAM25mr7qmqyuqti6XMbk9WNUhwrf2QBPB63IXHaLAE",
		"d":"EaXMAABiNsYN9D6ylKFj2ma1OFPirBwP8xOLKt4EmNs"}`), &key)
	if err != nil {
		panic(err) // never happens: it is the same key each time
	}
	return key
}

// scribble changes everything that can be reached from rec. The store may have
// lost any of it.
func scribble(rec *tokenstore.Record) {
	rec.Version++
	if rec.Tokens != nil {
		rec.Tokens.AccessToken = "scribbled"
		scribbleFields(rec.Tokens.Extra)
	}
	for _, m := range []*tokenstore.Mark{rec.Pending, rec.Refused, rec.Dead} {
		if m != nil {
			m.Code = "scribbled"
		}
	}
	for i := range rec.Ancestors {
		rec.Ancestors[i] = "scribbled"
	}
	scribbleFields(rec.Unknown)
}

func scribbleFields(fields map[string]json.RawMessage) {
	for _, raw := range fields {
		for i := range raw {
			raw[i] = '0'
		}
	}
	if fields != nil {
		fields["scribbled"] = json.RawMessage(`1`)
	}
}

// diff names the fields in which two records differ. Times count as instants,
// and JSON by its meaning. It names every field of the types, also those that
// are added one day.
func diff(got, want *tokenstore.Record) []string {
	g, w := reflect.ValueOf(*got), reflect.ValueOf(*want)
	var fields []string
	for i := range g.NumField() {
		name := g.Type().Field(i).Name
		switch {
		case name == "Tokens" && got.Tokens != nil && want.Tokens != nil:
			fields = append(fields, diffPair(got.Tokens, want.Tokens)...)
		case !same(g.Field(i), w.Field(i)):
			fields = append(fields, name)
		}
	}
	return fields
}

func diffPair(got, want *oauth.TokenPair) []string {
	g, w := reflect.ValueOf(*got), reflect.ValueOf(*want)
	var fields []string
	for i := range g.NumField() {
		if !same(g.Field(i), w.Field(i)) {
			fields = append(fields, "Tokens."+g.Type().Field(i).Name)
		}
	}
	return fields
}

func same(a, b reflect.Value) bool {
	return reflect.DeepEqual(plain(a.Interface()), plain(b.Interface()))
}

// plain makes values comparable that mean the same.
func plain(v any) any {
	switch v := v.(type) {
	case time.Time:
		return v.UnixNano()
	case *tokenstore.Mark:
		if v == nil {
			return nil
		}
		return [7]any{v.Token, v.At.UnixNano(), v.Code, v.By, v.Certain, v.Last.UnixNano(), v.Count}
	case []string:
		return strings.Join(v, "\n")
	case map[string]json.RawMessage:
		meaning := make(map[string]any, len(v))
		for k, raw := range v {
			meaning[k] = jsonMeaning(raw)
		}
		return meaning
	}
	return v
}

// jsonMeaning decodes raw and keeps numbers as they are spelled.
func jsonMeaning(raw json.RawMessage) any {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err.Error()
	}
	return v
}
