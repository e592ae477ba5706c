package oauth

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestPushedAnswerIsRead(t *testing.T) {
	const uri = "urn:ietf:params:oauth:request_uri:x"
	for _, tt := range []struct {
		name    string
		status  int
		body    string
		life    time.Duration // zero: not told
		refusal error         // nil: a reference
	}{
		{"created", 201, `{"request_uri":"` + uri + `","expires_in":60}`, time.Minute, nil},
		{"told as 200", 200, `{"request_uri":"` + uri + `","expires_in":"90"}`, 90 * time.Second, nil},
		{"without an end", 201, `{"request_uri":"` + uri + `"}`, 0, nil},
		{"with an absurd end", 201, `{"request_uri":"` + uri + `","expires_in":-5}`, 0, nil},
		{"no reference", 201, `{"expires_in":60}`, 0, ErrTransient},
		{"a reference that is not text", 201, `{"request_uri":7}`, 0, ErrTransient},
		{"a reference that controls a terminal", 201, `{"request_uri":"urn:\u001b[2J"}`, 0, ErrTransient},
		{"a page", 200, html, 0, ErrTransient},
		{"refused", 400, oauthError("invalid_request"), 0, ErrMisconfigured},
		{"refused client", 401, oauthError("invalid_client"), 0, ErrMisconfigured},
		{"refused with a reference", 400, `{"request_uri":"` + uri + `"}`, 0, ErrTransient},
		{"redirected", 307, "", 0, ErrMisconfigured},
		{"trouble", 503, html, 0, ErrTransient},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, end, fail := judgePushed(answered(opPush, tt.status, tt.body))
			if tt.refusal != nil {
				if got != "" || !errors.Is(fail, tt.refusal) || strings.Contains(fail.Error(), "PLANTED") {
					t.Errorf("got %q, %v; want %v", got, fail, tt.refusal)
				}
				return
			}
			if fail != nil || got != uri {
				t.Fatalf("got %q, %v; want %s", got, fail, uri)
			}
			if want := sentAt.Add(tt.life); tt.life == 0 && !end.IsZero() || tt.life != 0 && !end.Equal(want) {
				t.Errorf("it ends at %v; want %v after sending", end, tt.life)
			}
		})
	}
}

func FuzzJudgePushed(f *testing.F) {
	f.Add(201, `{"request_uri":"urn:x","expires_in":60}`)
	f.Add(201, `{"request_uri":"https://auth.test/?a=b&c=d#e","expires_in":1e300}`)
	f.Add(400, `{"error":"invalid_request"}`)
	f.Add(200, html)
	f.Fuzz(func(t *testing.T, status int, body string) {
		requestURI, _, fail := judgePushed(answered(opPush, status, body))
		if (requestURI == "") == (fail == nil) {
			t.Fatalf("reference %q and error %v; want exactly one", requestURI, fail)
		}
		if fail != nil {
			return
		}
		// Whatever the reference is, the browser carries it as one parameter.
		c := NewClient(Config{ClientID: "id", AuthURL: "https://auth.test/auth?tenant=t"})
		u, err := url.Parse(c.pushedURL(&url.URL{Scheme: "https", Host: "auth.test", Path: "/auth"}, requestURI))
		if err != nil || u.Host != "auth.test" || len(u.Query()) != 3 || u.Query().Get("request_uri") != requestURI {
			t.Errorf("the browser would go to %v (%v)", u, err)
		}
	})
}
