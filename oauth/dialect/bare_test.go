package dialect_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestAnAnswerCanBeAnAccessTokenAlone(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	pair, err := s.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	jwt := pair.AccessToken
	for name, tt := range map[string]struct {
		body string
		read bool
	}{
		"a JSON string":         {`"` + jwt + `"`, true},
		"text":                  {jwt + "\r\n", true},
		"a string with a space": {`" ` + jwt + `"`, true},
		"ok":                    {`"ok"`, false},
		"text of two dots":      {"a.b.c", false},
		"a list":                {`["` + jwt + `"]`, false},
		"nothing":               {``, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialect.NewClient(dialect.ASPNET(), dialect.Config{BaseURL: "https://api.test", HTTPClient: &http.Client{
				Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(tt.body)), Request: r}, nil
				}),
			}})
			next, err := c.Refresh(t.Context(), &oauth.TokenPair{AccessToken: "old", RefreshToken: "kept"})
			switch {
			case tt.read && (err != nil || next.AccessToken != jwt || next.RefreshToken != "kept" || next.ExpiresAt.IsZero()):
				t.Errorf("%v, %v; want the token, its end, and the refresh token that there was", next, err)
			case !tt.read && (err == nil || errors.Is(err, oauth.ErrLoginRequired)):
				t.Errorf("%v, %v; want an error that ends no session", next, err)
			}
		})
	}
}
