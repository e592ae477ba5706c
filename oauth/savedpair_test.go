package oauth_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

func TestPairOfAnotherProgramKeepsItsEnd(t *testing.T) {
	end := time.Date(2026, 12, 20, 10, 0, 0, 0, time.UTC)
	fill := strings.NewReplacer("ENDms", fmt.Sprint(end.UnixMilli()), "END", fmt.Sprint(end.Unix()), "BEGINms", fmt.Sprint(end.Add(-time.Hour).UnixMilli()), "BEGIN", fmt.Sprint(end.Add(-time.Hour).Unix()))
	for _, members := range []string{
		`"expiry":"2026-12-20T10:00:00Z"`, `"expiry":"2026-12-20T12:00:00+02:00"`, `"expiry":"2026-12-20T15:30:00.000000+05:30"`, `"expiry":"2026-12-20 10:00:00.000000"`, `"Expiry":"2026-12-20T10:00:00Z"`,
		`"expires_at":END`, `"expires_at":END.25`, `"expires_at":"END"`, `"expires_at":ENDms`, `"expires_at":"2026-12-20T10:00:00"`, `"expires_at":{"$date":"2026-12-20T10:00:00Z"}`,
		`"expiresAt":END`, `"expiresAt":ENDms`, `"expiresAt":"2026-12-20T10:00:00.000Z"`, `"expiry_date":ENDms`, `"token_expiry":"2026-12-20T10:00:00Z"`, `"expires_on":"END"`, `"expires":ENDms`, `"exp":END`,
		`"expirationTime":ENDms`, `"accessTokenExpiresAt":ENDms`, `"expires_in":3600,"created_at":BEGIN`, `"expires_in":"3600","issued_at":BEGINms`, `"expiresIn":3600,"obtainedAt":"2026-12-20T09:00:00Z"`,
		`"expires_in":3600,"created_at":5000000000,"obtained_at":0,"created_at":BEGIN`, `"expires_in":7200,"expires_at":END,"created_at":BEGIN`, `"expires_at":null,"expiry":"2026-12-20T10:00:00Z"`,
	} {
		var pair oauth.TokenPair
		err := json.Unmarshal([]byte(`{"access_token":"a","refresh_token":"r",`+fill.Replace(members)+`}`), &pair)
		if got := pair.ExpiresAt.Truncate(time.Second); err != nil || !got.Equal(end) {
			t.Errorf("%s: %v, %v; want %v", members, pair.ExpiresAt, err, end)
		}
		refresh := strings.Replace(strings.Replace(members, `"exp`, `"refresh_token_exp`, 1), `"Exp`, `"RefreshTokenExp`, 1)
		if refresh == members || strings.Contains(members, ",") {
			continue
		}
		pair = oauth.TokenPair{}
		err = json.Unmarshal([]byte(`{"access_token":"a","refresh_token":"r",`+fill.Replace(refresh)+`}`), &pair)
		if got := pair.RefreshExpiresAt.Truncate(time.Second); err != nil || !got.Equal(end) || !pair.ExpiresAt.IsZero() {
			t.Errorf("%s: %v, %v; want %v", refresh, pair.RefreshExpiresAt, err, end)
		}
	}
}

func TestPairThatDoesNotTellItsEndHasNone(t *testing.T) {
	for _, members := range []string{
		`"expiry":"0001-01-01T00:00:00Z"`, `"expiry":null`, `"expires_in":3600`, `"expires_at":0`, `"expiresAt":""`, `"expiresAt":3600`, `"expires_at":-1`, `"expires_at":"soon"`, `"expires_in":0,"created_at":1797757200`,
		// Ours: what else is there is from an older answer.
		`"issued_at":"2026-12-20T09:00:00Z","expiresAt":1797760800,"created_at":1797757200,"expires_in":60`,
	} {
		var pair oauth.TokenPair
		if err := json.Unmarshal([]byte(`{"access_token":"a","refresh_token":"r",`+members+`}`), &pair); err != nil || !pair.ExpiresAt.IsZero() {
			t.Errorf("%s: %v, %v; want no end", members, pair.ExpiresAt, err)
		}
	}
}

func TestPairOfAnotherProgramIsReadInItsSpelling(t *testing.T) {
	for _, body := range []string{
		`{"accessToken":"a","refreshToken":"r","tokenType":"t"}`, `{"AccessToken":"a","RefreshToken":"r","TokenType":"t"}`, `{"access-token":"a","refresh-token":"r","token-type":"t"}`,
		`{"token":"a","refresh_token":"r","token_type":"t","token_uri":"https://as.test/token"}`, `{"ACCESS_TOKEN":"a","REFRESH_TOKEN":"r","TOKEN_TYPE":"t"}`,
		`{"access_token":"a","accessToken":"x","token":"y","refresh_token":"r","token_type":"t"}`,
	} {
		var pair oauth.TokenPair
		if err := json.Unmarshal([]byte(body), &pair); err != nil || pair.AccessToken != "a" || pair.RefreshToken != "r" || pair.TokenType != "t" {
			t.Errorf("%s: %q, %q, %q, %v", body, pair.AccessToken, pair.RefreshToken, pair.TokenType, err)
		}
	}
}

// A saved pair of ours is what it was, whatever its extra members are called.
func TestExtraMembersDoNotBecomeTokens(t *testing.T) {
	pair := oauth.TokenPair{AccessToken: "a", IssuedAt: time.Now(), Extra: map[string]json.RawMessage{"refreshToken": []byte(`"x"`), "token": []byte(`"y"`), "expires_on": []byte(`1797760800`)}}
	data, err := json.Marshal(pair)
	if err != nil {
		t.Fatal(err)
	}
	var again oauth.TokenPair
	if err := json.Unmarshal(data, &again); err != nil || again.RefreshToken != "" || !again.ExpiresAt.IsZero() || len(again.Extra) != 3 {
		t.Errorf("%v, refresh token %q, %v, extra %s", err, again.RefreshToken, again.ExpiresAt, again.Extra)
	}
}
