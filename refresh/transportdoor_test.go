package refresh_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// An API that wants another login (RFC 9470) gets no refresh: none helps.
func TestAStepUpCostsNoRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		w.hosts["api.test"] = answering(http.StatusUnauthorized, "WWW-Authenticate", `Bearer error="insufficient_user_authentication", acr_values="gold"`)
		for range 3 {
			if status := get(t, client, "https://api.test/"); status != http.StatusUnauthorized {
				t.Errorf("HTTP %d; want the API's 401", status)
			}
		}
		if n := f.server.Refreshes(); n != 0 || len(w.requests()) != 3 {
			t.Errorf("%d refreshes and %d requests; want none and 3", n, len(w.requests()))
		}
		f.clean(t)
	})
}

// net/http answers a request without an address with an error, and closes its body.
func TestARequestWithoutAnAddressIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		body := &closed{Reader: strings.NewReader("text")}
		if _, err := f.Transport(nil).RoundTrip(&http.Request{Header: http.Header{}, Body: body}); err == nil || !body.is {
			t.Errorf("%v, the body is closed: %v", err, body.is)
		}
	})
}

type closed struct {
	io.Reader
	is bool
}

func (c *closed) Close() error {
	if c.is {
		return errors.New("closed twice")
	}
	c.is = true
	return nil
}

// net/http sends names as they stand in the map, so credentials of the program's own in lower
// case are credentials.
func TestCredentialsInLowerCaseAreTheProgramsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		w.hosts["api.test"] = answering(http.StatusOK)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["authorization"] = []string{"Basic b3duOm93bg=="}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if w.bare() != 1 {
			t.Error("a token went beside them")
		}
	})
}
