package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/evertoken/evertoken/oauth"
)

const (
	// maxAge is how long keys are used before they are fetched anew, so that one
	// that its issuer has withdrawn goes out of use.
	maxAge = 24 * time.Hour
	// minPause is between two requests for the same keys: tokens that name
	// unknown keys must not become a flood at the issuer.
	minPause = time.Minute
	// maxBody bounds what is read. Sets with certificates reach some tens of
	// kilobytes.
	maxBody = 1 << 20
	// maxKeys bounds how many keys one token is tried against. Issuers publish
	// two to ten.
	maxKeys = 100
	// fetchTimeout bounds one request for keys, within the caller's context.
	fetchTimeout = 30 * time.Second
)

// A keySet is what one address publishes. The holder of turn (by sending) may
// read and change the fields below it; a caller that waits can leave.
type keySet struct {
	turn    chan struct{}
	keys    []jose.JSONWebKey // replaced whole, never modified
	fetched time.Time         // when keys were received
	tried   time.Time         // when they were last asked for
	err     error             // what came of that; nil if it went well
}

// known returns the keys, fetched if there are none or they are old.
func (s *keySet) known(ctx context.Context, check oauth.IDTokenCheck) ([]jose.JSONWebKey, error) {
	return s.withTurn(ctx, func() error {
		if s.keys == nil || since(s.fetched) > maxAge {
			return s.fetch(ctx, check)
		}
		return nil
	})
}

// newer returns the keys as they are now, or were a moment ago.
func (s *keySet) newer(ctx context.Context, check oauth.IDTokenCheck) ([]jose.JSONWebKey, error) {
	return s.withTurn(ctx, func() error { return s.fetch(ctx, check) })
}

// withTurn calls renew while no other caller does. Its error matters only without
// keys to go on with.
func (s *keySet) withTurn(ctx context.Context, renew func() error) ([]jose.JSONWebKey, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, unavailable(context.Cause(ctx))
	}
	defer func() { <-s.turn }()
	if err := renew(); err != nil && s.keys == nil {
		return nil, err
	}
	return s.keys, nil
}

// fetch asks for the keys, unless that was done a moment ago.
func (s *keySet) fetch(ctx context.Context, check oauth.IDTokenCheck) error {
	if !s.tried.IsZero() && since(s.tried) < minPause {
		return s.err
	}
	keys, err := fetchKeys(ctx, check)
	if ctx.Err() != nil && err != nil {
		return err // the caller left: that says nothing about the issuer
	}
	s.tried, s.err = time.Now(), err
	if err == nil {
		s.keys, s.fetched = keys, s.tried
	}
	return err
}

// since is how long ago t was, by whichever clock says more: the wall clock goes
// on while a machine sleeps, and the monotonic one is not set back.
func since(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// fetchKeys sends one request.
func fetchKeys(ctx context.Context, check oauth.IDTokenCheck) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, check.JWKSURL, nil)
	if err != nil {
		return nil, errors.New("oidc: Config.Endpoints.JWKS is not a URL")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := keyClient(check.HTTPClient).Do(req)
	if err != nil {
		return nil, unavailable(fmt.Errorf("no answer (%T)", errors.Unwrap(err))) // texts of transports can quote anything
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return nil, unavailable(errors.New("the answer is cut or too large"))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, unavailable(fmt.Errorf("HTTP %d", resp.StatusCode))
	}
	keys := parseKeys(body)
	if len(keys) == 0 {
		return nil, unavailable(errors.New("the answer has no key"))
	}
	return keys, nil
}

// keyClient returns the client that fetches keys: hc's, or one of http.DefaultTransport. It
// follows no redirect, since keys from elsewhere would be another party's.
func keyClient(hc *http.Client) *http.Client {
	var c http.Client
	if hc != nil {
		c = *hc
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// parseKeys returns the public keys of a JWK set. Others are passed over, as RFC
// 7517 section 5 asks, one by one: an issuer may publish kinds not known here. go-jose
// takes no RSA key of more than 4096 bits: what a signature costs grows with the third power
// of that, and one of 262,144 bits, which has room in 44 kilobytes, takes a minute.
func parseKeys(body []byte) []jose.JSONWebKey {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return nil
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && key.Valid() && key.IsPublic() {
			keys = append(keys, key)
		}
	}
	return keys
}

// unavailable is the error for keys that cannot be had now.
func unavailable(cause error) error {
	return &oauth.Error{Op: "jwks", Kind: oauth.ErrTransient, Err: cause}
}
