package refresh_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestF49_BodyThatCannotBeRewoundIsNotReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		f.server.ExpireAccess("alice")
		req, body := post(t, f.server.Resource())
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if status := drain(t, resp); status != http.StatusUnauthorized {
			t.Errorf("status %d; want the 401", status)
		}
		if n := len(w.requests()); n != 1 || !body.closed.Load() {
			t.Errorf("%d requests, body closed: %v; want 1, true", n, body.closed.Load())
		}
		time.Sleep(time.Second)
		if n := f.server.Refreshes(); n != 1 {
			t.Errorf("%d refreshes; want the token renewed for the next call", n)
		}
		if status := get(t, client, f.server.Resource()); status != http.StatusOK || len(w.requests()) != 2 {
			t.Errorf("the next call: %d after %d requests; want 200 at once", status, len(w.requests()))
		}
		f.clean(t)
	})
}

// A caller whose request cannot be replayed has nothing to wait for.
func TestF49_RejectionIsReturnedWithoutWaitingForTheRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, _ := f.wired()
		f.server.ExpireAccess("alice")
		f.server.Script(oauthtest.Fault{Delay: 20 * time.Second})
		req, _ := post(t, f.server.Resource())
		began := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		drain(t, resp)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestBodyThatCanBeRewoundIsReplayedWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		f.server.ExpireAccess("alice")
		req, first := post(t, f.server.Resource())
		again := &trackedBody{Reader: strings.NewReader("payload")}
		req.GetBody = func() (io.ReadCloser, error) { return again, nil }
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"bytes":7`) {
			t.Errorf("answered %d %s; want 200 for 7 bytes", resp.StatusCode, body)
		}
		if !first.closed.Load() || !again.closed.Load() || len(w.requests()) != 2 {
			t.Errorf("closed: %v, %v; %d requests", first.closed.Load(), again.closed.Load(), len(w.requests()))
		}
		f.clean(t)
	})
}

func TestBodyThatFailsToRewindLeavesTheRejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		f.server.ExpireAccess("alice")
		req, _ := post(t, f.server.Resource())
		req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if status := drain(t, resp); status != http.StatusUnauthorized || len(w.requests()) != 1 {
			t.Errorf("status %d after %d requests; want the 401 of the only one", status, len(w.requests()))
		}
		f.clean(t)
	})
}

// Fakes and some transports leave the body of an empty answer nil; http.Client
// accepts that.
func TestRejectionWithoutABodyIsSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client, w := f.wired()
		var n atomic.Int64
		w.hosts["api.test"] = func(r *http.Request) (*http.Response, error) {
			status := http.StatusUnauthorized
			if n.Add(1) > 1 {
				status = http.StatusNoContent
			}
			return &http.Response{StatusCode: status, Request: r}, nil
		}
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("panic: %v", p)
			}
		}()
		if status := get(t, client, "https://api.test/"); status != http.StatusNoContent {
			t.Errorf("status %d; want the retry's 204", status)
		}
		f.clean(t)
	})
}
