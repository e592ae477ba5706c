package connect_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/register"
)

// An edit is a transport that changes what a server says, or where it is asked.
type edit struct {
	http.RoundTripper
	before func(*http.Request) *http.Response // nil: the request goes on
	after  func(path string, answer map[string]any)
}

// RoundTrip implements http.RoundTripper.
func (e *edit) RoundTrip(req *http.Request) (*http.Response, error) {
	if e.before != nil {
		if resp := e.before(req); resp != nil {
			resp.Request = req
			return resp, nil
		}
	}
	resp, err := e.RoundTripper.RoundTrip(req)
	if err != nil || e.after == nil {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer map[string]any
	if json.Unmarshal(body, &answer) == nil {
		e.after(req.URL.Path, answer)
		if body, err = json.Marshal(answer); err != nil {
			return nil, err
		}
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp.Header.Del("Content-Length")
	return resp, nil
}

// use makes a process one whose requests pass e.
func (e *edit) use(cfg *connect.Config) {
	e.RoundTripper = cfg.Transport
	cfg.Transport, cfg.OAuth.HTTPClient = e, &http.Client{Transport: e}
}

// says returns an edit of what the server says of a client that it registers.
func says(members map[string]any) *edit {
	return &edit{after: func(_ string, answer map[string]any) {
		if answer["registration_client_uri"] != nil {
			maps.Copy(answer, members)
		}
	}}
}

// An API may have another name for its server than the server itself: the address of the
// metadata, or, without metadata of its own, the origin below which the issuer lies.
func TestAServerThatTheAPINamesOtherwiseIsFoundAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		server oauthtest.Config
		edit   edit
		assume bool
	}{
		"the address of its metadata": {edit: edit{after: func(path string, answer map[string]any) {
			if servers, is := answer["authorization_servers"].([]any); is && strings.Contains(path, "oauth-protected-resource") {
				answer["authorization_servers"] = []string{servers[0].(string) + "/.well-known/oauth-authorization-server"}
			}
		}}},
		"with a slash more": {edit: edit{after: func(_ string, answer map[string]any) {
			if servers, is := answer["authorization_servers"].([]any); is {
				answer["authorization_servers"] = []string{servers[0].(string) + "/"}
			}
		}}},
		"a path with a slash more": {server: oauthtest.Config{IssuerPath: "/tenant"}, edit: edit{after: func(_ string, answer map[string]any) {
			if servers, is := answer["authorization_servers"].([]any); is {
				answer["authorization_servers"] = []string{servers[0].(string) + "/"}
			}
		}}},
		"without its slash": {server: oauthtest.Config{IssuerPath: "/"}, edit: edit{after: func(_ string, answer map[string]any) {
			if servers, is := answer["authorization_servers"].([]any); is {
				answer["authorization_servers"] = []string{strings.TrimSuffix(servers[0].(string), "/")}
			}
		}}},
		"the origin": {server: oauthtest.Config{IssuerPath: "/tenant"}, assume: true, edit: edit{before: func(req *http.Request) *http.Response {
			switch {
			case strings.Contains(req.URL.Path, "oauth-protected-resource"):
				return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody}
			case req.URL.Path == "/.well-known/oauth-authorization-server":
				req.URL.Path += "/tenant"
			}
			return nil
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(tt.server)
				for range 3 {
					p.launch(t, "launch", tt.edit.use, func(cfg *connect.Config) { cfg.OAuth.AssumeEndpoints = tt.assume })
					time.Sleep(2 * time.Hour)
				}
				p.want(t, "three launches", 1, 1)
			})
		})
	}
}

// Some servers tell the end of a secret that a client does not have, a lifetime in its place,
// or one by a clock that is behind. A session is not lost by that.
func TestTheEndOfASecretThatIsNoneEndsNoClient(t *testing.T) {
	for name, tt := range map[string]struct {
		method string
		ends   func() int64
	}{
		"a public client's, soon":   {ends: func() int64 { return time.Now().Add(time.Hour).Unix() }},
		"a public client's, now":    {ends: func() int64 { return time.Now().Unix() }},
		"a lifetime":                {method: "client_secret_basic", ends: func() int64 { return 86400 }},
		"by a clock that is behind": {method: "client_secret_basic", ends: func() int64 { return time.Now().Add(-time.Hour).Unix() }},
		"negative":                  {method: "client_secret_basic", ends: func() int64 { return -1 }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				server := says(map[string]any{"client_secret_expires_at": tt.ends()})
				for range 3 {
					p.launch(t, "launch", server.use, func(cfg *connect.Config) { cfg.Client.Metadata.AuthMethod = tt.method })
					time.Sleep(2 * time.Hour)
				}
				p.want(t, "three launches", 1, 1)
			})
		})
	}
}

// The name of a client may be an address without being that of a document.
func TestARegisteredClientWhoseNameIsAnAddressIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		prefix := "https://auth.test/clients/"
		plain := func(text string) string { return strings.ReplaceAll(text, url.QueryEscape(prefix), "") }
		server := &edit{
			before: func(req *http.Request) *http.Response {
				req.URL.RawQuery = plain(req.URL.RawQuery)
				if req.Body != nil {
					body, err := io.ReadAll(req.Body)
					if err != nil {
						t.Error(err)
					}
					text := plain(string(body))
					req.Body, req.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
				}
				return nil
			},
			after: func(_ string, answer map[string]any) {
				delete(answer, "id_token") // whose audience is the plain name
				if id, is := answer["client_id"].(string); is && answer["registration_client_uri"] != nil {
					answer["client_id"] = prefix + id
				}
			},
		}
		p.plain = plain
		for range 3 {
			for _, account := range []string{"at work", "at home"} {
				p.launch(t, account, server.use, func(cfg *connect.Config) { cfg.Account = account })
			}
		}
		p.want(t, "three launches of each of two accounts", 2, 1)
	})
}

// What the browser opens is an address that it takes.
func TestAClientWithAnEndlessNameIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		if err := call(p.process(t, says(map[string]any{"client_id": strings.Repeat("x", 900<<10)}).use)); err == nil || len(err.Error()) > 4<<10 {
			t.Errorf("%.200v; want a short error", err)
		}
		p.want(t, "afterwards", 0, 1)
	})
}

// A process whose session is living finds that another one has become another client: its
// manager is that of the client before, and cannot go on with what the new one is granted.
func TestAStepUpAsAnotherClientGoesOnAsThatOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.launch(t, "first")
		s := p.process(t)
		mustCall(t, "with the stored session", s)
		name := connect.ClientRecord(p.server.Issuer())
		rec, err := p.store.Get(t.Context(), name)
		if err == nil {
			err = p.store.Delete(t.Context(), name, rec.Version)
		}
		if err != nil {
			t.Fatal(err)
		}
		pair, err := s.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		challenge := http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope", scope="openid profile email offline_access extra"`}}
		if err := s.Refused(t.Context(), pair.AccessToken, http.StatusForbidden, challenge); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		mustCall(t, "two hours later", s)
		p.want(t, "afterwards", 2, 2)
	})
}

// A spelling that changes costs no login either, nor does that of a client that was given; a
// server of another name is another server.
func TestASlashAtTheEndOfAServersNameIsNoOtherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		slash, issuer := false, ""
		e := &edit{after: func(_ string, answer map[string]any) {
			if servers, is := answer["authorization_servers"].([]any); is && slash {
				answer["authorization_servers"] = []string{servers[0].(string) + "/"}
			}
			if issuer != "" && answer["issuer"] != nil {
				answer["issuer"] = issuer
			}
		}}
		given := func(cfg *connect.Config) {
			cfg.Account = "given"
			cfg.Client.Given = []*register.Registration{{Issuer: p.server.Issuer(), ClientID: oauthtest.DefaultClientID, AuthMethod: "none"}}
		}
		running := p.process(t, e.use)
		mustCall(t, "first", running)
		p.launch(t, "a given client", e.use, given)
		for range 2 {
			slash = !slash
			time.Sleep(2 * time.Minute)
			p.server.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 401, Times: 2, Body: `{}`})
			_ = call(running) // which looks at the metadata
			mustCall(t, "afterwards", running)
			p.launch(t, "a new process", e.use)
			p.launch(t, "a given client", e.use, given)
			p.want(t, "another spelling", 2, 1)
		}
		issuer = "https://evil.test/"
		err := call(p.process(t, e.use, func(cfg *connect.Config) { cfg.Account = "third" }))
		if !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), "another issuer") {
			t.Errorf("of a server with another name: %v", err)
		}
		p.want(t, "a server with another name", 2, 1)
	})
}
