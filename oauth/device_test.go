package oauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/oauth/preset"
)

// A screen is an Output that can be read while it is written to.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// decides has the person decide on a device code after d, which should be no
// moment at which the client polls.
func decides(t *testing.T, s *oauthtest.Server, code *oauth.DeviceCode, d time.Duration, denies bool) {
	t.Helper()
	p := newPerson(s, s.Client().Transport)
	p.denies = denies
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		time.Sleep(d)
		if shown, err := p.login(context.WithoutCancel(t.Context()), code.VerificationURIComplete); err != nil || shown.status != 200 {
			t.Errorf("the device page: HTTP %d, %v: %s", shown.status, err, shown.body)
		}
	}()
}

// device begins a device login in a bubble.
func device(t *testing.T, cfg oauthtest.Config) (*oauthtest.Server, *oauth.Client, *oauth.DeviceCode) {
	t.Helper()
	s := oauthtest.New(cfg)
	c := oauth.NewClient(s.OAuthConfig())
	code, err := c.DeviceAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, c, code
}

func TestDeviceLoginShowsAddressAndCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		out := new(screen)
		cfg := s.OAuthConfig()
		cfg.Output = out
		done := make(chan *oauth.TokenPair)
		go func() {
			pair, err := oauth.NewClient(cfg).DeviceLogin(t.Context())
			if err != nil {
				t.Error(err)
			}
			done <- pair
		}()
		synctest.Wait()
		text := out.String()
		address := s.Endpoint(oauthtest.DeviceEndpoint)
		_, complete, _ := strings.Cut(text, address+"?user_code=")
		userCode, _, _ := strings.Cut(complete, "\n")
		for _, want := range []string{"\n  " + address + "\n", "\n  " + userCode + "\n", "only on a page at auth.test."} {
			if userCode == "" || !strings.Contains(text, want) {
				t.Fatalf("the screen does not show %q:\n%s", want, text)
			}
		}
		decides(t, s, &oauth.DeviceCode{VerificationURIComplete: address + "?user_code=" + userCode}, 12*time.Second, false)
		pair := <-done
		if pair == nil {
			return
		}
		wantWorking(t, s, pair)
		wantNoMistakes(t, s)
		if strings.Contains(out.String(), "no refresh token") {
			t.Error("a warning about a refresh token that is there")
		}
	})
}

func TestDevicePollsKeepTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, code := device(t, oauthtest.Config{DeviceInterval: 7 * time.Second})
		decides(t, s, code, 30*time.Second, false)
		start := time.Now()
		if _, err := c.DeviceToken(t.Context(), code); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 35*time.Second {
			t.Errorf("logged in after %v; want 35s: the first poll after the decision", took)
		}
		if n := s.Requests(oauthtest.TokenEndpoint); n != 5 {
			t.Errorf("%d polls in 35 s; want 5", n)
		}
	})
}

func TestSlowDownCountsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, code := device(t, oauthtest.Config{})
		for range 2 {
			s.Script(oauthtest.Fault{Status: 400, Body: `{"error":"slow_down"}`})
		}
		decides(t, s, code, 61*time.Second, false)
		start := time.Now()
		if _, err := c.DeviceToken(t.Context(), code); err != nil {
			t.Fatal(err)
		}
		// Polls after 5, 15, 30, 45, 60 and 75 seconds.
		if took, n := time.Since(start), s.Requests(oauthtest.TokenEndpoint); took != 75*time.Second || n != 6 {
			t.Errorf("logged in after %v with %d polls; want 75s with 6", took, n)
		}
		if code.Interval != 5*time.Second {
			t.Error("DeviceToken changed the code it was given")
		}
	})
}

func TestF59_DevicePollSurvivesTheNetwork(t *testing.T) {
	pending := func(status int) oauthtest.Fault {
		return oauthtest.Fault{Status: status, Body: `{"error":"authorization_pending"}`}
	}
	for name, fault := range map[string]oauthtest.Fault{
		"one refused connection":   {Down: true},
		"one reset":                {Reset: true},
		"one request without end":  {Hang: true},
		"half an hour of 503":      {Status: 503, HTML: true, Times: 20},
		"a captive portal":         {Status: 200, HTML: true, Times: 3},
		"a firewall's page":        {Status: 403, HTML: true, Times: 3},
		"Retry-After":              {Status: 429, RetryAfter: 2 * time.Minute},
		"pending as 401":           pending(401),
		"pending as 200":           pending(200),
		"an answer cut short":      {Status: 200, Body: `{"access_token":"x"}`, CutBody: true},
		"a refusal without a word": {Status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c, code := device(t, oauthtest.Config{})
				s.Script(fault)
				decides(t, s, code, 61*time.Second, false)
				pair, err := c.DeviceToken(t.Context(), code)
				if err != nil {
					t.Fatal(err)
				}
				wantWorking(t, s, pair)
				if n := s.ClearScript(); n != 0 {
					t.Errorf("%d faults were not met", n)
				}
			})
		})
	}
}

func TestTroubleMakesPollsRarer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, code := device(t, oauthtest.Config{})
		s.Script(oauthtest.Fault{Down: true, Times: -1})
		var attempts []time.Duration
		start := time.Now()
		cfg := c.Config()
		inner := s.Client().Transport
		cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			attempts = append(attempts, time.Since(start))
			return inner.RoundTrip(r)
		})}
		_, err := oauth.NewClient(cfg).DeviceToken(t.Context(), code)
		if !errors.Is(err, oauth.ErrCodeExpired) {
			t.Errorf("got %v; want ErrCodeExpired", err)
		}
		if len(attempts) < 20 || len(attempts) > 40 { // 30 minutes, a minute apart
			t.Errorf("%d attempts in 30 minutes", len(attempts))
		}
		for i, want := range []time.Duration{5, 15, 35, 75, 135, 195} {
			if attempts[i] != want*time.Second {
				t.Errorf("attempt %d after %v; want %v", i+1, attempts[i], want*time.Second)
			}
		}
		if last := attempts[len(attempts)-1]; last != 30*time.Minute-time.Second {
			t.Errorf("last attempt after %v; want one just before the code ends", last)
		}
		if fail := failure(t, err); !errors.Is(err, oauth.ErrLoginRequired) || errors.Is(err, oauth.ErrTransient) || !strings.Contains(fail.Error(), "connection refused") {
			t.Errorf("got %v; want login required, and why it came to that", err)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDeviceVerdictsEndThePolling(t *testing.T) {
	for name, tt := range map[string]struct {
		fault oauthtest.Fault
		want  []error
	}{
		"denied":            {oauthtest.Fault{Status: 400, Body: `{"error":"access_denied"}`}, []error{oauth.ErrAccessDenied, oauth.ErrLoginRequired}},
		"denied as 200":     {oauthtest.Fault{Status: 200, Body: `{"error":"access_denied"}`}, []error{oauth.ErrAccessDenied, oauth.ErrLoginRequired}},
		"expired":           {oauthtest.Fault{Status: 400, Body: `{"error":"expired_token"}`}, []error{oauth.ErrCodeExpired, oauth.ErrLoginRequired}},
		"code unknown":      {oauthtest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`}, []error{oauth.ErrLoginRequired}},
		"client unknown":    {oauthtest.Fault{Status: 401, Body: `{"error":"invalid_client"}`}, []error{oauth.ErrMisconfigured}},
		"grant not offered": {oauthtest.Fault{Status: 400, Body: `{"error":"unsupported_grant_type"}`}, []error{oauth.ErrMisconfigured}},
		"redirect":          {oauthtest.Fault{Redirect: "https://evil.test/"}, []error{oauth.ErrMisconfigured}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c, code := device(t, oauthtest.Config{})
				s.Script(tt.fault)
				_, err := c.DeviceToken(t.Context(), code)
				fail := failure(t, err)
				for _, want := range tt.want {
					if !errors.Is(err, want) {
						t.Errorf("got %v; want %v", err, want)
					}
				}
				if fail.Op != "device" || s.Requests(oauthtest.TokenEndpoint) != 1 {
					t.Errorf("op %q after %d polls; want device after 1", fail.Op, s.Requests(oauthtest.TokenEndpoint))
				}
			})
		})
	}
}

// Every word of the server's but two ends the polling at once, under any status
// that carries words; trouble and refusals without a word do not.
func TestDevicePollingEndsWithTheServersWordAlone(t *testing.T) {
	type word struct {
		code string
		want error // nil: polling goes on
	}
	words := []word{
		{"authorization_pending", nil}, {"slow_down", nil}, {"temporarily_unavailable", nil}, {"server_error", nil},
		{"access_denied", oauth.ErrAccessDenied}, {"authorization_declined", oauth.ErrAccessDenied}, {"authorization_denied", oauth.ErrAccessDenied},
		{"user_denied", oauth.ErrAccessDenied}, {"user_cancelled", oauth.ErrAccessDenied},
		{"expired_token", oauth.ErrCodeExpired}, {"code_expired", oauth.ErrCodeExpired}, {"expired_code", oauth.ErrCodeExpired},
		{"device_code_expired", oauth.ErrCodeExpired}, {"expired_device_code", oauth.ErrCodeExpired},
		{"bad_verification_code", oauth.ErrLoginRequired}, {"incorrect_device_code", oauth.ErrLoginRequired},
		{"invalid_device_code", oauth.ErrLoginRequired}, {"invalid_code", oauth.ErrLoginRequired}, {"invalid_grant", oauth.ErrLoginRequired},
		{"device_flow_disabled", oauth.ErrMisconfigured}, {"incorrect_client_credentials", oauth.ErrMisconfigured},
		{"unsupported_grant_type", oauth.ErrMisconfigured}, {"invalid_client", oauth.ErrMisconfigured}, {"invalid_request", oauth.ErrMisconfigured},
		{"a_word_of_its_own", oauth.ErrMisconfigured},
		{"", nil}, // and so is what does not look like a code:
		{"no route for this host", nil},
	}
	for _, status := range []int{200, 400, 401, 403, 404, 422, 428, 408, 425, 429, 500, 502, 503} {
		speaks := status == 200 || status < 500 && status != 408 && status != 425 && status != 429
		for _, w := range words {
			want := w.want
			if !speaks {
				want = nil
			}
			t.Run(fmt.Sprint(status, " ", w.code), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, c, code := device(t, oauthtest.Config{})
					s.Script(oauthtest.Fault{Status: status, Body: fmt.Sprintf(`{"error":%q}`, w.code)})
					decides(t, s, code, 61*time.Second, false)
					start := time.Now()
					_, err := c.DeviceToken(t.Context(), code)
					if want == nil {
						if err != nil {
							t.Errorf("got %v; want a login", err)
						}
						return
					}
					if fail := failure(t, err); !errors.Is(err, want) || fail.Code != w.code || errors.Is(err, oauth.ErrTransient) {
						t.Errorf("got %v; want %v", err, want)
					}
					if took := time.Since(start); took != 5*time.Second {
						t.Errorf("ended after %v; want 5s: with the first poll", took)
					}
				})
			})
		}
	}
}

func TestRefusedDeviceAuthIsMisconfigured(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"disabled":            {400, `{"error":"device_flow_disabled"}`, oauth.ErrMisconfigured},
		"disabled as 200":     {200, `{"error":"device_flow_disabled"}`, oauth.ErrMisconfigured},
		"a word of its own":   {403, `{"error":"not_for_you"}`, oauth.ErrMisconfigured},
		"trouble":             {400, `{"error":"server_error"}`, oauth.ErrTransient},
		"no word":             {404, `not found`, oauth.ErrTransient},
		"a server in trouble": {503, `{"error":"not_for_you"}`, oauth.ErrTransient},
	} {
		c := over(answering(tt.status, tt.body), func(cfg *oauth.Config) { cfg.DeviceAuthURL = "https://auth.test/device" })
		if _, err := c.DeviceAuth(t.Context()); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v; want %v", name, err, tt.want)
		} else {
			failure(t, err)
		}
	}
}

func TestDeviceLoginDeniedByThePerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, code := device(t, oauthtest.Config{})
		decides(t, s, code, 2*time.Second, true)
		if _, err := c.DeviceToken(t.Context(), code); !errors.Is(err, oauth.ErrAccessDenied) {
			t.Errorf("got %v; want ErrAccessDenied", err)
		}
	})
}

func TestDeviceCodeEndsByOurClockToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, code := device(t, oauthtest.Config{DeviceCodeLifetime: time.Minute})
		start := time.Now()
		_, err := c.DeviceToken(t.Context(), code)
		if !errors.Is(err, oauth.ErrCodeExpired) || time.Since(start) > time.Minute {
			t.Errorf("got %v after %v; want ErrCodeExpired within a minute", err, time.Since(start))
		}
	})
}

func TestDeviceCodeOfAnotherProgramsMakingHasDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := answering(400, `{"error":"authorization_pending"}`)
		start := time.Now()
		_, err := over(w).DeviceToken(t.Context(), &oauth.DeviceCode{DeviceCode: "d"})
		if took := time.Since(start); !errors.Is(err, oauth.ErrCodeExpired) || took < 14*time.Minute || took > 15*time.Minute {
			t.Errorf("got %v after %v; want ErrCodeExpired after 15 minutes", err, took)
		}
		if n := len(w.requests()); n < 170 || n > 180 {
			t.Errorf("%d polls in 15 minutes; want one every 5 seconds", n)
		}
	})
}

func TestDeviceCodeIsRedeemedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, code := device(t, oauthtest.Config{})
		decides(t, s, code, time.Second, false)
		if _, err := c.DeviceToken(t.Context(), code); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := s.Requests(oauthtest.TokenEndpoint); n != 1 {
			t.Errorf("%d requests with the code; want 1, and none after the tokens came", n)
		}
	})
}

func TestDeviceLoginEndsWithItsContext(t *testing.T) {
	why := errors.New("the person gave up")
	for name, fault := range map[string]*oauthtest.Fault{"between polls": nil, "in a poll": {Hang: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c, code := device(t, oauthtest.Config{})
				if fault != nil {
					s.Script(*fault)
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(7*time.Second, func() { cancel(why) })
				start := time.Now()
				_, err := c.DeviceToken(ctx, code)
				if !errors.Is(err, why) || time.Since(start) != 7*time.Second {
					t.Errorf("got %v after %v; want the cause after 7s", err, time.Since(start))
				}
			})
		})
	}
}

func TestDeviceMistakesAreReported(t *testing.T) {
	w := answering(200, okBody)
	if _, err := over(w).DeviceAuth(t.Context()); !errors.Is(err, oauth.ErrMisconfigured) || !strings.Contains(err.Error(), "DeviceAuthURL") {
		t.Errorf("without a device endpoint: %v", err)
	}
	if _, err := over(w).DeviceLogin(t.Context()); !errors.Is(err, oauth.ErrMisconfigured) {
		t.Errorf("without a device endpoint: %v", err)
	}
	for _, code := range []*oauth.DeviceCode{nil, {}} {
		if _, err := over(w).DeviceToken(t.Context(), code); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("without a device code: %v", err)
		}
	}
	if n := len(w.requests()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestDeviceAuthAsksForScopeAndResource(t *testing.T) {
	w := answering(200, `{"device_code":"d","user_code":"u","verification_uri":"https://auth.test/device"}`)
	c := over(w, func(cfg *oauth.Config) {
		cfg.DeviceAuthURL = "https://auth.test/device_authorization"
		cfg.Scopes, cfg.Resources, cfg.ClientSecret = []string{"a", "b"}, []string{"https://one.test"}, "s"
	})
	if _, err := c.DeviceAuth(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := w.requests()[0]
	if got := r.form.Encode(); got != "resource=https%3A%2F%2Fone.test&scope=a+b" {
		t.Errorf("body %s", got)
	}
	if _, _, ok := r.BasicAuth(); !ok {
		t.Error("the client does not authenticate (RFC 8628 section 3.1)")
	}
}

func TestDeviceLoginWithoutRefreshTokenSaysSo(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		preset oauth.Preset
		scopes []string
		want   string
	}{
		"nothing known":   {`{"access_token":"a","expires_in":3600}`, oauth.Preset{}, nil, "see in the server's documentation what asks for one"},
		"a scope":         {`{"access_token":"a","expires_in":3600}`, preset.X(), nil, "To keep it alive, ask for the scope offline.access."},
		"asked for":       {`{"access_token":"a","expires_in":3600}`, preset.Okta(), []string{"openid"}, "see in the server's documentation what asks for one"},
		"no end":          {`{"access_token":"a"}`, oauth.Preset{}, nil, "The access token does not end, as far as the server says, and there is no refresh token: there is nothing to renew."},
		"a refresh token": {`{"access_token":"a","refresh_token":"r"}`, oauth.Preset{}, nil, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			out := new(screen)
			w := &wire{answer: func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.URL.Path, "device") {
					return response(200, `{"device_code":"d","user_code":"u","verification_uri":"https://auth.test/d"}`), nil
				}
				return response(200, tt.answer), nil
			}}
			c := over(w, func(cfg *oauth.Config) {
				cfg.DeviceAuthURL, cfg.Output, cfg.Preset, cfg.Scopes = "https://auth.test/device", out, tt.preset, tt.scopes
			})
			if _, err := c.DeviceLogin(t.Context()); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			if strings.Contains(text, "refresh token") != (tt.want != "") || !strings.Contains(text, tt.want) || strings.Contains(text, "offline_access") {
				t.Errorf("%s: the screen shows:\n%s\nwant %q, and no scope that nobody knows", name, text, tt.want)
			}
		})
	}
}
