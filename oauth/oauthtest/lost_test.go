package oauthtest_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// brokenWriter is a ResponseWriter whose connection is gone.
type brokenWriter struct{ plainWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAnAnswerThatCannotBeWrittenIsLost(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Grace: time.Minute})
	_, token := login(t, s)
	f := form("grant_type", "refresh_token", "refresh_token", token)
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "/token", strings.NewReader(f.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.ServeHTTP(brokenWriter{}, r)
	refresh(t.Context(), s, token).wantOK(t)
	wantMistakes(t, s)
	if spends := s.Spends(); spends[0].Delivered || !spends[1].Delivered {
		t.Errorf("spends %+v; want the first lost and the second delivered", spends)
	}
}

func TestTheServerForgetsWhatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{RefreshTokenLifetime: time.Hour})
		_, token := login(t, s)
		grown := func(refreshes int) int {
			for range refreshes {
				time.Sleep(time.Minute)
				token = refresh(t.Context(), s, token).wantOK(t).text(t, "refresh_token")
			}
			all, live := oauthtest.Remembered(s)
			if live != 1 {
				t.Errorf("%d refresh tokens of one session can be spent; want 1", live)
			}
			return all
		}
		first := grown(200)
		if second := grown(200); second != first || first > 70 {
			t.Errorf("the server remembers %d refresh tokens after 200 refreshes and %d after 400; want the last hour's", first, second)
		}
	})
}

func TestOAuthConfigIsReadyForAClient(t *testing.T) {
	for name, s := range map[string]*oauthtest.Server{
		"in process": oauthtest.New(oauthtest.Config{ClientSecret: "p%:+ä", AnnounceRefreshLifetime: true}),
		"socket":     oauthtest.NewServer(oauthtest.Config{ClientSecret: "p%:+ä", AnnounceRefreshLifetime: true, JWTRefreshTokens: true}),
	} {
		t.Run(name, func(t *testing.T) {
			defer s.Close()
			defer s.Close() // the second time does nothing
			first, err := s.Login("alice")
			if err != nil {
				t.Fatal(err)
			}
			if first.ExpiresIn != 900 || first.ExpiresAt.Sub(first.IssuedAt) != 15*time.Minute || first.RefreshExpiresAt.Sub(first.IssuedAt) != 7*24*time.Hour {
				t.Errorf("Login: expiry %v, %v, %v; want 15 minutes and 7 days", first.ExpiresIn, first.ExpiresAt, first.RefreshExpiresAt)
			}
			second, err := oauth.NewClient(s.OAuthConfig()).Refresh(t.Context(), first)
			if err != nil {
				t.Fatal(err)
			}
			if got := resourceStatus(t, s, second.AccessToken); got != 200 {
				t.Errorf("resource: HTTP %d; want 200", got)
			}
			wantMistakes(t, s)
		})
	}
}
