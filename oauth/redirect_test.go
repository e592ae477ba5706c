package oauth

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth/internal/login"
)

const testIssuer = "https://auth.test"

func redirectClient(requireIss bool) (*Client, *LoginRequest) {
	c := NewClient(Config{ClientID: "id", Issuer: testIssuer, RequireIss: requireIss, AuthURL: testIssuer + "/auth", TokenURL: testIssuer + "/token"})
	return c, &LoginRequest{URL: testIssuer + "/auth", State: "the-state", Verifier: "v", RedirectURL: "http://127.0.0.1/callback"}
}

var redirects = []struct {
	name, query string
	requireIss  bool

	code   string // a code, or
	kind   error  // an error
	reason error
	is     error
	errCd  string
}{
	{name: "code", query: "code=c&state=the-state", code: "c"},
	{name: "code with iss", query: "code=c&state=the-state&iss=https://auth.test", code: "c", requireIss: true},
	{name: "unannounced iss", query: "code=c&state=the-state&iss=https%3A%2F%2Fauth.test", code: "c"},
	{name: "unknown parameters", query: "code=c&state=the-state&session_state=x&scope=a&scope=b", code: "c"},

	{name: "wrong state", query: "code=c&state=the-statf", kind: ErrLoginRequired, is: login.ErrState},
	{name: "state in part", query: "code=c&state=the-stat", kind: ErrLoginRequired, is: login.ErrState},
	{name: "no state", query: "code=c", kind: ErrLoginRequired, is: login.ErrState},
	{name: "empty state", query: "code=c&state=", kind: ErrLoginRequired, is: login.ErrState},
	{name: "nothing", query: "", kind: ErrLoginRequired, is: login.ErrState},
	{name: "right state among others", query: "code=c&state=x&state=the-state", kind: ErrLoginRequired, is: errRepeated},
	{name: "two codes", query: "code=c&code=d&state=the-state", kind: ErrLoginRequired, is: errRepeated},
	{name: "two issuers", query: "code=c&state=the-state&iss=https://auth.test&iss=https://evil.test", kind: ErrLoginRequired, is: errRepeated},
	{name: "neither code nor error", query: "state=the-state", kind: ErrLoginRequired, is: errMalformed},
	{name: "empty code", query: "state=the-state&code=", kind: ErrLoginRequired, is: errMalformed},

	{name: "other issuer", query: "code=c&state=the-state&iss=https://evil.test", kind: ErrMisconfigured},
	{name: "issuer with a slash more", query: "code=c&state=the-state&iss=https://auth.test/", kind: ErrMisconfigured},
	{name: "empty issuer", query: "code=c&state=the-state&iss=", kind: ErrMisconfigured},
	{name: "announced iss is missing", query: "code=c&state=the-state", requireIss: true, kind: ErrMisconfigured, is: errNoIss},

	{name: "refused", query: "error=access_denied&state=the-state&error_description=" + planted, kind: ErrLoginRequired, reason: ErrAccessDenied, errCd: "access_denied"},
	{name: "refused without state", query: "error=access_denied", kind: ErrLoginRequired, reason: ErrAccessDenied, errCd: "access_denied"},
	{name: "refused with a wrong state", query: "error=access_denied&state=x", kind: ErrLoginRequired, is: login.ErrState},
	{name: "refused with an empty state", query: "error=access_denied&state=", kind: ErrLoginRequired, is: login.ErrState},
	{name: "error and code", query: "error=access_denied&code=c&state=the-state", kind: ErrLoginRequired, reason: ErrAccessDenied, errCd: "access_denied"},
	{name: "error and code without state", query: "error=access_denied&code=c", kind: ErrLoginRequired, is: login.ErrState},
	{name: "refused by another issuer", query: "error=access_denied&state=the-state&iss=https://evil.test", kind: ErrMisconfigured, errCd: "access_denied"},
	{name: "refused without announced iss", query: "error=access_denied&state=the-state", requireIss: true, kind: ErrMisconfigured, is: errNoIss, errCd: "access_denied"},
	{name: "login required", query: "error=login_required&state=the-state", kind: ErrLoginRequired, errCd: "login_required"},
	{name: "server trouble", query: "error=server_error&state=the-state", kind: ErrTransient, errCd: "server_error"},
	{name: "wrong scope", query: "error=invalid_scope&state=the-state", kind: ErrMisconfigured, errCd: "invalid_scope"},
	{name: "no code flow", query: "error=unsupported_response_type&state=the-state", kind: ErrMisconfigured, errCd: "unsupported_response_type"},
	{name: "another word", query: "error=oops&state=the-state", kind: ErrTransient, errCd: "oops"},
	{name: "no word", query: "error=" + planted + "&state=the-state", kind: ErrTransient},
}

func TestEveryRedirectHasItsMeaning(t *testing.T) {
	for _, tt := range redirects {
		t.Run(tt.name, func(t *testing.T) {
			c, req := redirectClient(tt.requireIss)
			query, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			code, fail := c.judgeRedirect(req, query)
			if code != tt.code {
				t.Errorf("code %q; want %q", code, tt.code)
			}
			if tt.kind == nil {
				if fail != nil {
					t.Errorf("error %v; want none", fail)
				}
				return
			}
			if fail == nil || fail.Kind != tt.kind || fail.Code != tt.errCd || fail.Op != opAuthorize {
				t.Fatalf("got error %v; want %v with code %q", fail, tt.kind, tt.errCd)
			}
			if wantField := fail.Err != nil && strings.Contains(fail.Err.Error(), "from another issuer"); wantField != (fail.Field == "Issuer") {
				t.Errorf("got field %q in %v", fail.Field, fail)
			}
			if tt.is != nil && !errors.Is(fail, tt.is) {
				t.Errorf("got %v; want %v", fail, tt.is)
			}
			if errors.Is(fail, ErrAccessDenied) != (tt.reason == ErrAccessDenied) {
				t.Errorf("got %v; want reason %v", fail, tt.reason)
			}
			if strings.Contains(fail.Error(), "PLANTED") || strings.Contains(fail.Error(), "evil") {
				t.Errorf("the query is in the error: %v", fail)
			}
		})
	}
}

func TestUnknownIssuerIsNotCompared(t *testing.T) {
	c := NewClient(Config{ClientID: "id", AuthURL: testIssuer + "/auth", TokenURL: testIssuer + "/token"})
	_, req := redirectClient(false)
	if code, fail := c.judgeRedirect(req, url.Values{"code": {"c"}, "state": {req.State}, "iss": {"https://any.test"}}); code != "c" || fail != nil {
		t.Errorf("got %q, %v", code, fail)
	}
}

func FuzzJudgeRedirect(f *testing.F) {
	for _, tt := range redirects {
		f.Add(tt.query, tt.requireIss)
	}
	f.Add("code=%zz&state=the-state;iss=x", true)
	f.Fuzz(func(t *testing.T, raw string, requireIss bool) {
		c, req := redirectClient(requireIss)
		query, _ := url.ParseQuery(raw)
		code, fail := c.judgeRedirect(req, query)
		if (code == "") == (fail == nil) {
			t.Fatalf("code %q and error %v; want exactly one", code, fail)
		}
		if code == "" {
			if fail.Kind != ErrLoginRequired && fail.Kind != ErrMisconfigured && fail.Kind != ErrTransient {
				t.Errorf("kind %v", fail.Kind)
			}
			return
		}
		if len(query["state"]) != 1 || query["state"][0] != "the-state" {
			t.Errorf("a code with the state %q", query["state"])
		}
		if query.Get("error") != "" || len(query["code"]) != 1 {
			t.Errorf("a code from %q", raw)
		}
		if iss := query["iss"]; (len(iss) == 0 && requireIss) || len(iss) > 1 || (len(iss) == 1 && iss[0] != testIssuer) {
			t.Errorf("a code from issuer %q", iss)
		}
	})
}
