package bench_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// livingPair is a session that needs nothing for an hour. Its access token has
// the size of a JWT.
func livingPair() *oauth.TokenPair {
	now := time.Now()
	return &oauth.TokenPair{
		AccessToken:  strings.Repeat("a", 800),
		RefreshToken: strings.Repeat("r", 64),
		TokenType:    "Bearer",
		ExpiresIn:    3600,
		IssuedAt:     now,
		ExpiresAt:    now.Add(time.Hour),
	}
}

// neverRefresh is the refresher of sessions that need no refresh.
var neverRefresh = refresh.RefresherFunc(func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
	return nil, errors.New("bench: this session should not have needed a refresh")
})

// start runs a manager until the benchmark ends.
func start(tb testing.TB, cfg refresh.Config, pair *oauth.TokenPair) *refresh.Manager {
	tb.Helper()
	m := refresh.NewManager(cfg)
	if err := m.Start(context.Background(), pair); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(m.Stop)
	return m
}

// newServer returns a strict authorization server in process, with rotation and
// reuse detection. Its client has a secret, because cloud-auth takes no other.
func newServer() *oauthtest.Server {
	return oauthtest.New(oauthtest.Config{ClientSecret: clientSecret})
}

const (
	clientID     = oauthtest.DefaultClientID
	clientSecret = "secret"
)

// A service is a token endpoint as the three libraries are told of it. All of
// them send client ID and secret in the body.
type service struct {
	tokenURL string
	client   *http.Client
}

func serviceOf(s *oauthtest.Server) service {
	return service{tokenURL: s.Endpoint(oauthtest.TokenEndpoint), client: s.Client()}
}

func (s service) evertoken() *oauth.Client {
	return oauth.NewClient(oauth.Config{
		ClientID: clientID, ClientAuth: oauth.SecretPost(clientSecret),
		TokenURL: s.tokenURL, HTTPClient: s.client,
	})
}

func (s service) xoauth2() (context.Context, *oauth2.Config) {
	return context.WithValue(context.Background(), oauth2.HTTPClient, s.client), &oauth2.Config{
		ClientID: clientID, ClientSecret: clientSecret,
		Endpoint: oauth2.Endpoint{TokenURL: s.tokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// An endpoint is the other end of an HTTP connection: it answers every token
// request with a new pair at once and remembers nothing but their number, so that
// time and memory are those of the client.
type endpoint struct {
	requests atomic.Int64
	shape    tokenShape // of the pairs; nil means longTokens
}

// A tokenShape is what the nth pair of a server looks like.
type tokenShape func(n int64) (access, refresh string)

// opaqueTokens are 256 bits each, in base64url.
func opaqueTokens(n int64) (access, refresh string) {
	return fmt.Sprintf("access-%036d", n), fmt.Sprintf("refresh-%035d", n)
}

// longTokens has an access token of 1 KiB, which is a JWT with a few claims.
func longTokens(n int64) (access, refresh string) {
	return fmt.Sprintf("%01024d", n), fmt.Sprintf("refresh-%035d", n)
}

func (e *endpoint) service() service {
	return service{tokenURL: "https://auth.test/token", client: &http.Client{Transport: e}}
}

// answer is what a large provider sends.
const answer = `{"access_token":"%s","token_type":"Bearer","expires_in":3600,"refresh_token":"%s","scope":"openid profile offline_access"}`

// RoundTrip implements http.RoundTripper.
func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	shape := e.shape
	if shape == nil {
		shape = longTokens
	}
	access, refresh := shape(e.requests.Add(1))
	body := fmt.Appendf(nil, answer, access, refresh)
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}},
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}, nil
}
