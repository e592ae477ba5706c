package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// setUpBackends names for a script the backends that the first server plays, one of
// gin-jwt 2, one that is like nothing else, an API that tells how it is shown a token, and one
// that redirects to where its query says.
func setUpBackends(env *testscript.Env) {
	s := env.Values["server"].(*oauthtest.Server)
	for name, backend := range map[string]oauthtest.Backend{
		"KRATOS": oauthtest.KratosBackend, "SANIC": oauthtest.SanicJWTBackend, "GINJWT": oauthtest.GinJWTBackend,
		"ASPNET": oauthtest.ASPNETBackend, "COOKIE": oauthtest.CookieBackend,
	} {
		env.Setenv(name, s.DialectConfig(backend).BaseURL)
	}
	moved := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	}
	for name, handler := range map[string]http.Handler{
		"GINJWT2": new(ginJWT2), "OURS": new(ours), "CAPTCHA": http.HandlerFunc(kratosWithCaptcha), "SHOWN": http.HandlerFunc(showToken), "MOVED": http.HandlerFunc(moved),
	} {
		server := httptest.NewServer(handler)
		env.Defer(server.Close)
		env.Setenv(name, server.URL)
	}
}

// showToken answers with the headers that carry a token, which it does not repeat.
func showToken(w http.ResponseWriter, r *http.Request) {
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range r.Header {
			if !yield(name) {
				return
			}
		}
	}) {
		value := r.Header.Get(name)
		if name != "Authorization" && name != "Cookie" && !strings.HasPrefix(name, "X-") {
			continue
		}
		if at := strings.LastIndexAny(value, " ="); len(value) > 20 {
			value = value[:at+1] + "TOKEN"
		}
		fmt.Fprintf(w, "%s: %s\n", name, value)
	}
	fmt.Fprintf(w, "query: %q\n", r.URL.RawQuery)
	if body, _ := io.ReadAll(r.Body); len(body) > 0 {
		fmt.Fprintf(w, "body: %q\n", body)
	}
}

// ginJWT2 is a backend like gin-jwt 2: the access token renews itself, by a GET.
type ginJWT2 struct {
	mu   sync.Mutex
	last string // the token that is good
	n    int
}

func (g *ginJWT2) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/login" && strings.Contains(string(body), "wonderland"):
	case r.Method == http.MethodGet && r.URL.Path == "/auth/refresh_token" && r.Header.Get("Authorization") == "Bearer "+g.last:
	default:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code":401,"message":"incorrect Username or Password"}`)
		return
	}
	g.n++
	end := time.Now().Add(time.Hour)
	part := base64.RawURLEncoding.EncodeToString
	g.last = part([]byte(`{"alg":"HS256"}`)) + "." + part(fmt.Appendf(nil, `{"exp":%d,"orig_iat":1,"n":%d}`, end.Unix(), g.n)) + ".c2lnbmF0dXJl"
	_ = json.NewEncoder(w).Encode(map[string]any{"code": 200, "expire": end.Format(time.RFC3339), "token": g.last})
}

// kratosWithCaptcha is a backend like Kratos whose login wants a captcha, and for some a
// one-time code.
func kratosWithCaptcha(w http.ResponseWriter, r *http.Request) {
	var login struct{ Username, Password, Captcha, TOTP string }
	_ = json.NewDecoder(r.Body).Decode(&login)
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path != "/api/v1/auth/login" || login.Username != "alice" || login.Password != "wonderland" || login.Captcha != "7x" || login.TOTP != "123456" {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code":401,"reason":"INVALID_CREDENTIALS","message":"no","metadata":{}}`)
		return
	}
	fmt.Fprint(w, `{"accessToken":"a-1","refreshToken":"r-1","expiresIn":"900"}`)
}

// ours is a backend that needs what the ready-made dialects do not: a tenant, a one-time
// code, an identifier of the session in addresses, and a template in a header. It is told of
// in ours.yaml of testdata/dialectfile.txtar.
type ours struct {
	mu      sync.Mutex
	n       int
	session bool
}

func (o *ours) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	token := fmt.Sprintf("access-token-number-%d", o.n)
	switch r.Method + " " + r.URL.Path {
	case "POST /v2/login":
		if r.Header.Get("X-Tenant") != "acme" || string(body) != `{"totp":"123456","user":{"email":"alice","password":"wonderland"}}` {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"error":{"reason":"BAD_LOGIN"}}`)
			return
		}
		o.session = true
	case "PUT /v2/sessions/s-1":
		if !o.session || r.Header.Get("Authorization") != `Token token="`+token+`"` {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"reason":"SESSION_OVER"}}`)
			return
		}
	case "DELETE /v2/sessions/s-1":
		if o.session = false; r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	o.n++
	_ = json.NewEncoder(w).Encode(map[string]any{
		"data":       map[string]any{"jwt": fmt.Sprintf("access-token-number-%d", o.n), "refresh": "refresh-token-of-all"},
		"meta":       map[string]any{"expires": time.Now().Add(time.Hour).UnixMilli()},
		"session_id": "s-1",
	})
}

func TestPresentationFlagsAreRememberedTogether(t *testing.T) {
	word := func(s string) *string { return &s }
	old := profile.Presentation{Header: "X-Token", Scheme: "Token"}
	for _, tt := range []struct {
		flags presentFlags
		want  profile.Presentation
		wrong bool
	}{
		{presentFlags{}, old, false},
		{presentFlags{TokenCookie: word("at")}, profile.Presentation{Cookie: "at"}, false},
		{presentFlags{TokenCookie: word("at"), TokenSignatureCookie: word("sig")}, profile.Presentation{Cookie: "at", SignatureCookie: "sig"}, false},
		{presentFlags{TokenScheme: word("JWT")}, profile.Presentation{Scheme: "JWT"}, false},
		{presentFlags{TokenScheme: word("none")}, profile.Presentation{Header: "Authorization"}, false},
		{presentFlags{TokenHeader: word("X-T"), TokenScheme: word("none")}, profile.Presentation{Header: "X-T"}, false},
		{presentFlags{TokenHeader: word("")}, profile.Presentation{}, false}, // forgets
		{presentFlags{TokenCookie: word("at"), TokenHeader: word("X-T")}, profile.Presentation{}, true},
		{presentFlags{TokenCookie: word("at"), TokenScheme: word("JWT")}, profile.Presentation{}, true},
		{presentFlags{TokenSignatureCookie: word("sig")}, profile.Presentation{}, true},
		{presentFlags{TokenHeader: word("Cookie")}, profile.Presentation{}, true},
		{presentFlags{TokenHeader: word("X T")}, profile.Presentation{}, true},
	} {
		got, err := tt.flags.presentation(old)
		if got != tt.want || (err != nil) != tt.wrong {
			t.Errorf("%+v: got %+v, %v; want %+v", tt.flags, got, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "Presentation") || newApp(nil, nil, io.Discard, noEnv).explain(err).Code != exit.Usage) {
			t.Errorf("%+v: %v; want a mistake on the command line, in its words", tt.flags, err)
		}
	}
}

func TestGraceIsRemembered(t *testing.T) {
	for text, want := range map[string]time.Duration{"none": oauth.GraceNone, "until-used": oauth.GraceUntilUsed, "30s": 30 * time.Second, "0": 0, "": 0} {
		grace, err := (&presentFlags{Grace: &text}).grace(profile.Grace(time.Hour))
		if err != nil || time.Duration(grace) != want {
			t.Errorf("%q: got %v, %v; want %v", text, time.Duration(grace), err, want)
		}
		data, err := json.Marshal(&profile.Profile{Grace: grace})
		var back profile.Profile
		if err != nil || json.Unmarshal(data, &back) != nil || back.Grace != grace || want == 0 && strings.Contains(string(data), "grace") {
			t.Errorf("%q: written as %s, %v", text, data, err)
		}
	}
	for _, text := range []string{"-1s", "soon", "None", "30"} {
		if grace, err := (&presentFlags{Grace: &text}).grace(0); err == nil {
			t.Errorf("%q is taken for %v", text, time.Duration(grace))
		}
	}
	if grace, err := new(presentFlags).grace(profile.Grace(time.Hour)); err != nil || time.Duration(grace) != time.Hour {
		t.Errorf("without the flag: %v, %v", grace, err)
	}
}

func TestGraceAndPresentationReachTheSession(t *testing.T) {
	s := &session{app: testApp(t), profile: &profile.Profile{Grace: profile.Grace(time.Hour), Presentation: profile.Presentation{Header: "X-Token"}}}
	if cfg := s.config(); cfg.Grace != time.Hour || cfg.Presentation.Header != "X-Token" {
		t.Errorf("got %v, %+v", cfg.Grace, cfg.Presentation)
	}
}

func TestMessagesKeepFurtherFieldsToThemselves(t *testing.T) {
	for _, args := range []string{
		"login --dialect kratos --url https://x --field otp=s3cret --field pin=s3cret --password-stdin",
		"login --dialect=kratos --url=https://x --field=otp=s3cret --field=pin=s3cret --password-stdin",
	} {
		a := testApp(t)
		a.backend, a.typed = &backendNamed{"kratos", "https://x"}, loginFlags(strings.Fields(args))
		got := a.loginCommand(false)
		if strings.Contains(got, "s3cret") || !strings.Contains(got, "--dialect kratos --url https://x") || strings.Count(got, "--dialect") != 1 || !strings.Contains(got, "otp") {
			t.Errorf("%s: got %s", args, got)
		}
	}
	p := misreadOf(t, "login", "--dialect", "kratos", "--field", "otp=s3cret", "https://x")
	if strings.Contains(p.Error(), "s3cret") || !strings.Contains(p.Next, "--url https://x") {
		t.Errorf("got %v", p)
	}
}

// misreadOf returns what is said of a command line that cannot be read.
func misreadOf(t *testing.T, args ...string) *exit.Problem {
	t.Helper()
	_, _, err := newApp(nil, io.Discard, io.Discard, noEnv).parse(args)
	if err == nil {
		t.Fatalf("%q can be read", args)
	}
	return misread(args, err)
}
