package oauth_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/evertoken/evertoken/internal/strayed"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A wire is a transport that records what is sent and answers by a function.
type wire struct {
	answer func(*http.Request) (*http.Response, error)

	mu   sync.Mutex
	sent []sentRequest
}

type sentRequest struct {
	*http.Request
	form url.Values
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	form, _ := url.ParseQuery(string(body))
	w.mu.Lock()
	w.sent = append(w.sent, sentRequest{r, form})
	w.mu.Unlock()
	return w.answer(r)
}

func (w *wire) requests() []sentRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

func response(status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// answering is a wire that gives one answer to every request.
func answering(status int, body string, headers ...string) *wire {
	return &wire{answer: func(*http.Request) (*http.Response, error) { return response(status, body, headers...), nil }}
}

// over returns a client that talks over the wire.
func over(w http.RoundTripper, change ...func(*oauth.Config)) *oauth.Client {
	cfg := oauth.Config{ClientID: "id", TokenURL: "https://auth.test/token", HTTPClient: &http.Client{Transport: w}}
	for _, f := range change {
		f(&cfg)
	}
	return oauth.NewClient(cfg)
}

// failure returns err as an *oauth.Error, or fails the test.
func failure(t *testing.T, err error) *oauth.Error {
	t.Helper()
	var fail *oauth.Error
	if !errors.As(err, &fail) {
		t.Fatalf("got error %v (%T); want an *oauth.Error", err, err)
	}
	if leaks(err.Error()) {
		t.Errorf("the error shows a secret: %v", err)
	}
	return fail
}

const okBody = `{"access_token":"a2","refresh_token":"r2","token_type":"Bearer","expires_in":60}`

func TestRefreshIsOnePOST(t *testing.T) {
	w := answering(200, okBody)
	if _, err := over(w).RefreshToken(t.Context(), "r1"); err != nil {
		t.Fatal(err)
	}
	sent := w.requests()
	if len(sent) != 1 {
		t.Fatalf("%d requests; want 1", len(sent))
	}
	r := sent[0]
	if r.Method != http.MethodPost || r.URL.String() != "https://auth.test/token" {
		t.Errorf("%s %s", r.Method, r.URL)
	}
	if got := r.form.Encode(); got != "client_id=id&grant_type=refresh_token&refresh_token=r1" {
		t.Errorf("body %s; want grant, token and client alone (no scope)", got)
	}
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Accept") != "application/json" {
		t.Errorf("header %v", r.Header)
	}
	if r.GetBody != nil {
		t.Error("the body can be rewound, so net/http may send it again")
	}
	if want := int64(len("client_id=id&grant_type=refresh_token&refresh_token=r1")); r.ContentLength != want {
		t.Errorf("content length %d; want %d", r.ContentLength, want)
	}
}

func TestClientAuthentication(t *testing.T) {
	const id, pass = "a:b c", "p%w/=+ä"
	for _, tt := range []struct {
		name                   string
		auth                   oauth.ClientAuth
		secret                 string // as Config.ClientSecret
		wantUser, wantPass     string
		wantFormID, wantSecret string
	}{
		{name: "none", wantFormID: id},
		{name: "none by name", auth: oauth.ClientAuthBy("none", pass), wantFormID: id},
		{name: "a secret", secret: pass, wantUser: "a%3Ab+c", wantPass: "p%25w%2F%3D%2B%C3%A4"},
		{name: "any way", auth: oauth.Secret(pass), wantUser: "a%3Ab+c", wantPass: "p%25w%2F%3D%2B%C3%A4"},
		{name: "basic", auth: oauth.SecretBasic(pass), wantUser: "a%3Ab+c", wantPass: "p%25w%2F%3D%2B%C3%A4"},
		{name: "raw", auth: oauth.SecretBasicRaw(pass), wantUser: "a", wantPass: "b c:" + pass},
		{name: "post by name", auth: oauth.ClientAuthBy("client_secret_post", pass), wantFormID: id, wantSecret: pass},
		{name: "said twice", auth: oauth.SecretPost(pass), secret: pass, wantFormID: id, wantSecret: pass},
		{name: "post", auth: oauth.SecretPost(pass), wantFormID: id, wantSecret: pass},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := answering(200, okBody)
			c := over(w, func(cfg *oauth.Config) { cfg.ClientID, cfg.ClientSecret, cfg.ClientAuth = id, tt.secret, tt.auth })
			if _, err := c.RefreshToken(t.Context(), "r"); err != nil {
				t.Fatal(err)
			}
			r := w.requests()[0]
			user, password, basic := r.BasicAuth()
			if user != tt.wantUser || password != tt.wantPass || basic != (tt.wantUser != "") {
				t.Errorf("basic %v: %q, %q; want %q, %q", basic, user, password, tt.wantUser, tt.wantPass)
			}
			if got := r.form.Get("client_id"); got != tt.wantFormID {
				t.Errorf("client_id %q in the body; want %q", got, tt.wantFormID)
			}
			if got := r.form.Get("client_secret"); got != tt.wantSecret {
				t.Errorf("client_secret %q in the body; want %q", got, tt.wantSecret)
			}
		})
	}
}

func TestMistakesInConfigAreReportedBeforeAnythingIsSent(t *testing.T) {
	for name, change := range map[string]func(*oauth.Config){
		"no client id":         func(c *oauth.Config) { c.ClientID = "" },
		"basic without secret": func(c *oauth.Config) { c.ClientAuth = oauth.SecretBasic("") },
		"another secret":       func(c *oauth.Config) { c.ClientAuth, c.ClientSecret = oauth.SecretBasic(secret), "s" },
		"a secret beside a key": func(c *oauth.Config) {
			c.ClientAuth, c.ClientSecret = oauth.PrivateKeyJWT(oauth.AssertionKey{}), secret
		},
		"unknown ClientAuth":       func(c *oauth.Config) { c.ClientAuth = oauth.ClientAuthBy("client_secret_jwt", secret) },
		"no token endpoint":        func(c *oauth.Config) { c.TokenURL = "" },
		"plain http":               func(c *oauth.Config) { c.TokenURL = "http://auth.example.com/token?key=" + secret },
		"plain http, by a proxy":   func(c *oauth.Config) { c.TokenURL = "http://LocalHost:1/token" }, // if the environment names one
		"plain http, almost local": func(c *oauth.Config) { c.TokenURL = "http://127.0.0.1.example.com/token" },
		"no scheme":                func(c *oauth.Config) { c.TokenURL = "auth.example.com/token" },
		"another scheme":           func(c *oauth.Config) { c.TokenURL = "ftp://auth.example.com/token" },
		"user information":         func(c *oauth.Config) { c.TokenURL = "https://u:" + secret + "@auth.example.com/" },
		"fragment":                 func(c *oauth.Config) { c.TokenURL = "https://auth.example.com/#x" },
		"not a URL":                func(c *oauth.Config) { c.TokenURL = "https://%zz" + secret },
	} {
		t.Run(name, func(t *testing.T) {
			w := answering(200, okBody)
			_, err := over(w, change).RefreshToken(t.Context(), "r")
			fail := failure(t, err)
			if !errors.Is(err, oauth.ErrMisconfigured) || fail.Sent {
				t.Errorf("got %v (sent: %v); want ErrMisconfigured, not sent", err, fail.Sent)
			}
			if fail.Field == "" || !strings.Contains(err.Error(), "misconfigured: Config."+fail.Field+" ") {
				t.Errorf("got %v with Field %q; want the field that is wrong", err, fail.Field)
			}
			if n := len(w.requests()); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

func TestPlainHTTPToLoopbackIsAllowed(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "127.0.0.5:8080", "[::1]:80", "localhost:9"} {
		w := answering(200, okBody)
		if _, err := over(w, func(c *oauth.Config) { c.TokenURL = "http://" + host + "/token" }).RefreshToken(t.Context(), "r"); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// Where no hosts file has localhost, the DNS says where it leads.
func TestRequestForLocalhostStaysOnThisMachine(t *testing.T) {
	transport, got := strayed.Transport()
	client := oauth.NewClient(oauth.Config{TokenURL: "http://localhost:1/token", ClientID: "c", HTTPClient: &http.Client{Transport: transport}})
	_, err := client.RefreshToken(t.Context(), secret)
	fail, ok := errors.AsType[*oauth.Error](err)
	if sent := got(); !ok || !errors.Is(err, oauth.ErrMisconfigured) || fail.Sent || sent != "" {
		t.Errorf("%v after %q was sent to another machine", err, sent)
	}
}

func TestF41_RefusedAuthenticationIsNotProbed(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "web", Secret: "s", AuthMethod: "client_secret_post"}}})
	pair, err := s.Login("alice")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.OAuthConfig()
	cfg.ClientID, cfg.ClientSecret = "web", "s"
	_, err = oauth.NewClient(cfg).Refresh(t.Context(), pair)
	fail := failure(t, err)
	if !errors.Is(err, oauth.ErrMisconfigured) || fail.Code != "invalid_client" {
		t.Errorf("got %v; want ErrMisconfigured with invalid_client", err)
	}
	for _, word := range []string{"client_secret_post", "ClientAuth"} {
		if !strings.Contains(fail.Hint, word) {
			t.Errorf("hint %q does not mention %s", fail.Hint, word)
		}
	}
	if n := s.Requests(oauthtest.TokenEndpoint); n != 1 {
		t.Errorf("the token endpoint saw %d requests; want 1", n)
	}
}

func TestF42_RedirectOfTheTokenEndpointIsNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			w := &wire{answer: func(r *http.Request) (*http.Response, error) {
				if r.URL.Host != "auth.test" {
					return response(200, okBody), nil
				}
				return response(status, "", "Location", "https://evil.test/token?"+secret), nil
			}}
			_, err := over(w).RefreshToken(t.Context(), "r")
			if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || fail.Status != status {
				t.Errorf("got %v; want ErrMisconfigured with HTTP %d", err, status)
			}
			if n := len(w.requests()); n != 1 {
				t.Errorf("%d requests; want 1, and none to the other host", n)
			}
		})
	}
}

func TestCallersHTTPClientIsLeftAsItWas(t *testing.T) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := answering(307, "", "Location", "https://evil.test/")
	hc := &http.Client{Transport: w, Jar: jar}
	c := oauth.NewClient(oauth.Config{ClientID: "id", TokenURL: "https://auth.test/token", HTTPClient: hc})
	_, _ = c.RefreshToken(t.Context(), "r")
	if hc.CheckRedirect != nil || hc.Jar != http.CookieJar(jar) || hc.Transport != http.RoundTripper(w) || hc.Timeout != 0 {
		t.Errorf("the caller's client was changed: %+v", hc)
	}
	if got := c.Config().HTTPClient; got != hc {
		t.Error("Config does not give back the caller's client")
	}
	// Cookies belong to the jar's owner: what the server set, his client sends.
	if n := len(jar.Cookies(&url.URL{Scheme: "https", Host: "auth.test"})); n != 0 {
		t.Errorf("%d cookies in the jar; the server set none", n)
	}
}

func TestAnswersAreReadUpToOneMiB(t *testing.T) {
	const limit = 1 << 20
	padded := func(size int) string {
		return okBody[:len(okBody)-1] + `,"pad":"` + strings.Repeat("x", size-len(okBody)-len(`,"pad":""`)) + `"}`
	}
	if _, err := over(answering(200, padded(limit))).RefreshToken(t.Context(), "r"); err != nil {
		t.Errorf("an answer of 1 MiB: %v", err)
	}
	if pair, err := over(answering(200, padded(2*limit))).RefreshToken(t.Context(), "r"); err != nil || pair.RefreshToken == "" {
		t.Errorf("tokens before the limit of an answer beyond it: %v, %v; want both tokens", pair, err)
	}
	behind := `{"pad":"` + strings.Repeat("x", limit) + `",` + okBody[1:]
	_, err := over(answering(200, behind)).RefreshToken(t.Context(), "r")
	if fail := failure(t, err); !fail.Unknown() {
		t.Errorf("tokens beyond 1 MiB: %v; want unknown", err)
	}

	endless := &endlessBody{}
	w := &wire{answer: func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: endless}, nil
	}}
	if _, err := over(w).RefreshToken(t.Context(), "r"); err == nil {
		t.Error("an endless answer was accepted")
	}
	if endless.read > limit+64<<10 || !endless.closed {
		t.Errorf("%d bytes read of an endless answer, closed: %v", endless.read, endless.closed)
	}
}

func TestAnswerThatBreaksAfterItsJSONCounts(t *testing.T) {
	w := &wire{answer: func(*http.Request) (*http.Response, error) {
		body := io.MultiReader(strings.NewReader(okBody), iotest.ErrReader(io.ErrUnexpectedEOF))
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body)}, nil
	}}
	if pair, err := over(w).RefreshToken(t.Context(), "r"); err != nil || pair.AccessToken == "" {
		t.Errorf("got %v, %v; want the tokens that came", pair, err)
	}
}

type endlessBody struct {
	read   int
	closed bool
}

func (b *endlessBody) Read(p []byte) (int, error) {
	b.read += len(p)
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func (b *endlessBody) Close() error { b.closed = true; return nil }

func TestResourceIndicatorsGoWithTheRequest(t *testing.T) {
	w := answering(200, okBody)
	c := over(w, func(cfg *oauth.Config) { cfg.Resources = []string{"https://one.test"} })
	_, _ = c.RefreshToken(t.Context(), "r")
	_, _ = c.RefreshToken(oauth.WithResource(t.Context(), "https://two.test", "https://three.test"), "r")
	_, _ = c.RefreshToken(t.Context(), "r")
	want := []string{"[https://one.test]", "[https://two.test https://three.test]", "[https://one.test]"}
	for i, r := range w.requests() {
		if got := fmt.Sprint(r.form["resource"]); got != want[i] {
			t.Errorf("request %d asks for %s; want %s", i, got, want[i])
		}
	}
}
