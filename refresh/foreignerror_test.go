package refresh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A Refresher, a Revoker and a login over x/oauth2, whose errors quote what the server says.
type quoting struct{ err error }

func (q quoting) Refresh(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
	return nil, q.err
}
func (q quoting) Revoke(context.Context, *oauth.TokenPair) error { return q.err }
func (q quoting) CanRevoke() bool                                { return true }

func TestLaw8_ErrorsOfOtherClientsShowNoAnswer(t *testing.T) {
	const planted = "PLANTED-s3cret"
	retrieve := &oauth2.RetrieveError{
		Response: &http.Response{StatusCode: http.StatusBadRequest, Status: "400 " + planted}, Body: []byte(`{"refresh_token":"` + planted + `"}`),
		ErrorCode: planted, ErrorDescription: planted, ErrorURI: planted,
	}
	for name, err := range map[string]error{
		"as it is":           retrieve,
		"wrapped":            fmt.Errorf("renewing %s: %w", planted, retrieve),
		"in one of ours":     &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Err: retrieve},
		"said to be the end": fmt.Errorf("%w: %w", oauth.ErrLoginRequired, retrieve),
		"plain text":         errors.New("the server says " + planted),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := new(taint.Book)
				b.Secret("the answer", planted)
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					cfg.OAuthClient = quoting{err}
					cfg.Logger = slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
					cfg.OnRefreshFail = func(err error) bool { b.Print("OnRefreshFail", err); return true }
					cfg.Reauthenticate = func(context.Context) (*oauth.TokenPair, error) { return nil, err }
				}).start(t)
				failed := f.ForceRefresh(t.Context())
				if failed == nil || !errors.Is(failed, err) {
					t.Errorf("ForceRefresh: %v; want an error in which the client's own is found", failed)
				}
				time.Sleep(2 * time.Hour)
				_, dead := f.TokenContext(t.Context())
				_, cached := oauth2.ReuseTokenSource(nil, f).Token()
				_, refused := f.Client().Get("https://api.test/")
				_, grpc := f.GetRequestMetadata(t.Context(), "https://api.test/x")
				b.Print("errors", failed, dead, cached, refused, grpc, f.Logout(t.Context()))
				status, _ := json.Marshal(f.GetRefreshStatus())
				b.Shown("status", string(status))
				b.Print("status", *f.GetRefreshStatus(), f.Manager)
				f.events.mu.Lock()
				for _, e := range f.events.all {
					b.Print("event", e, e.Err)
				}
				f.events.mu.Unlock()
				b.Check(t, 1, 8)
			})
		})
	}
}
