package bridge_test

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/bridge"
	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A person who closes an editor is not asked to log in.
func TestTheFarewellOpensNoWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := oauthtest.New(oauthtest.Config{})
		s := inBubble()
		var windows atomic.Int32
		refusing := make(chan struct{}, 10)
		session, err := connect.New(connect.Config{
			URL:     auth.Resource(),
			OAuth:   oauth.Config{HTTPClient: auth.Client(), RedirectURL: "http://127.0.0.1/callback", Output: io.Discard},
			Refresh: refresh.Config{Store: new(tokenstore.Memory)},
			Login: func(ctx context.Context, _ *oauth.Client) (*oauth.TokenPair, error) {
				windows.Add(1)
				<-ctx.Done()
				return nil, context.Cause(ctx)
			},
			Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
				if req.URL.String() != auth.Resource() {
					return auth.Client().Transport.RoundTrip(req)
				}
				if req.Method == http.MethodDelete { // it wants a token from now on
					refusing <- struct{}{}
					return auth.Client().Transport.RoundTrip(req)
				}
				return direct{s}.RoundTrip(req)
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		r := start(t, auth.Resource(), func(cfg *bridge.Config) { cfg.Client = session.Client() })
		r.begin()
		synctest.Wait()
		r.in.Close()
		<-r.done
		synctest.Wait()
		if len(refusing) != 1 {
			t.Errorf("the session was ended by %d requests; want 1", len(refusing))
		}
		if n := windows.Load(); n != 0 {
			t.Errorf("%d windows as the program left", n)
		}
	})
}

// What the farewell is sent with is for the client alone.
func TestTheFarewellHasNoBody(t *testing.T) {
	s := newRemote(t)
	r := start(t, s.URL)
	r.begin()
	r.in.Close()
	<-r.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.header.Get("Content-Length") != "" || s.header.Get("Transfer-Encoding") != "" || s.header.Get("Mcp-Session-Id") != "session-1" {
		t.Errorf("headers %v", s.header)
	}
}
