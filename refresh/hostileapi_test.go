package refresh_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// A RoundTripper below the Transport may not write into a request, and some do.
func TestWhatARoundTripperWritesIntoAHeaderSpoilsNoOtherRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		_, w := f.wired()
		client := &http.Client{Transport: f.Transport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
			resp, err := w.RoundTrip(r)
			for _, values := range r.Header {
				values[0] = "spoilt"
				_ = append(values[:1], "appended")
			}
			return resp, err
		}))}
		for i := range 3 {
			if status := get(t, client, f.server.Resource()); status != http.StatusOK {
				t.Errorf("request %d: status %d; want 200", i, status)
			}
		}
		metadata, err := f.GetRequestMetadata(t.Context())
		if want := "Bearer " + f.first.AccessToken; err != nil || metadata["authorization"] != want {
			t.Errorf("gRPC metadata were spoilt, or %v", err)
		}
		for _, r := range w.requests() {
			if r.authorization != "Bearer "+f.first.AccessToken {
				t.Error("a request went out with what was written into an earlier one")
			}
		}
		f.clean(t)
	})
}

// A drip gives a byte each minute until it is closed.
type drip struct{ closed chan struct{} }

func (d drip) Read(p []byte) (int, error) {
	minute := time.NewTimer(time.Minute)
	defer minute.Stop()
	select {
	case <-minute.C:
		return copy(p, "x"), nil
	case <-d.closed:
		return 0, io.ErrClosedPipe
	}
}

func (d drip) Close() error {
	select {
	case <-d.closed:
	default:
		close(d.closed)
	}
	return nil
}

func TestF93_DrippingBodyOfARejectionDoesNotHoldTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		client := &http.Client{Transport: f.Transport(roundTripFunc(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") != "Bearer "+f.first.AccessToken {
				return answering(http.StatusOK)(r)
			}
			body := drip{make(chan struct{})}
			return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{}, Body: body, ContentLength: -1, Request: r}, nil
		}))}
		begun := time.Now()
		if status := get(t, client, "https://api.test/"); status != http.StatusOK {
			t.Errorf("status %d; want the second answer's 200", status)
		}
		if waited := time.Since(begun); waited > time.Second {
			t.Errorf("the caller waited %v for a body that is not read; want a quarter of a second", waited)
		}
		f.clean(t)
	})
}

func TestF93_ScopesThatAnAPIAsksForDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := 0
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
			cfg.OnInsufficientScope = func(string) { heard++ }
		}).start(t)
		client, w := f.wired()
		for i := range 1000 {
			w.hosts["api.test"] = answering(http.StatusForbidden, "WWW-Authenticate", fmt.Sprintf(`Bearer error="insufficient_scope", scope="s%d"`, i))
			get(t, client, "https://api.test/")
		}
		if heard != 64 {
			t.Errorf("the program heard of %d scopes; want 64", heard)
		}
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		get(t, client, "https://api.test/")
		if heard != 65 {
			t.Errorf("the program heard of %d scopes after a refresh; want one more", heard)
		}
		f.clean(t)
	})
}

func TestF94_ScopeThatIsNoneIsNotHandedOn(t *testing.T) {
	for name, scope := range map[string]string{
		"control character":   "a\x1b[31m",
		"C1 as one byte":      "a\x9b31m",
		"C1 in UTF-8":         "a\u009b31m",
		"right-to-left":       "a\u202eb",
		"isolate":             "a\u2066b",
		"byte order mark":     "\ufeffa",
		"not UTF-8":           "a\xff",
		"longer than 4 KiB":   strings.Repeat("s", 4<<10+1),
		"nothing but a space": " ",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := []string{}
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					cfg.OnInsufficientScope = func(scope string) { asked = append(asked, scope) }
				}).start(t)
				client, w := f.wired()
				w.hosts["api.test"] = answering(http.StatusForbidden, "WWW-Authenticate", `Bearer error="insufficient_scope", scope="`+scope+`"`)
				get(t, client, "https://api.test/")
				if len(asked) != 1 || asked[0] != "" {
					t.Errorf("the hook heard %q; want one call without a scope", asked)
				}
				f.clean(t)
			})
		})
	}
}
