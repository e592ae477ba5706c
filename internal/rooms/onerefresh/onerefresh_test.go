package onerefresh_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestOneRefresh(t *testing.T) { anHour(t, 50*time.Minute, 1) }

func TestNoRefresh(t *testing.T) { anHour(t, 24*time.Hour, 0) }

// anHour keeps a session alive for an hour whose tokens live for life.
func anHour(t *testing.T, life time.Duration, refreshes int) {
	store, err := tokenstore.NewFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		server := new(server)
		m := refresh.NewManager(refresh.Config{
			OAuthClient: oauth.NewClient(oauth.Config{
				ClientID: "cli", TokenURL: "https://login.example.com/token", HTTPClient: &http.Client{Transport: server},
			}),
			Store: store, Session: "default",
			CheckInterval: 24 * time.Hour, // or looks at the store would count, of which one more or less happens by chance
		})
		err := m.Start(t.Context(), &oauth.TokenPair{
			AccessToken: "access-0", RefreshToken: "refresh-0", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(life),
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		m.Stop()
		if server.refreshes != refreshes {
			t.Errorf("%d refreshes, want %d", server.refreshes, refreshes)
		}
	})
}

// A server answers token requests in process, so that no code but the client's counts.
type server struct{ refreshes int }

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.refreshes++
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(strings.NewReader(`{"access_token":"access-1","refresh_token":"refresh-1","token_type":"Bearer","expires_in":86400}`)),
	}, nil
}
