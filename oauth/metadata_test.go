package oauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMetadataIsLookedForWhereTheSpecificationsPutIt(t *testing.T) {
	for issuer, want := range map[string][]string{
		"https://a.test":          {"https://a.test/.well-known/oauth-authorization-server", "https://a.test/.well-known/openid-configuration"},
		"https://a.test/":         {"https://a.test/.well-known/oauth-authorization-server", "https://a.test/.well-known/openid-configuration"},
		"https://a.test:8443/t/1": {"https://a.test:8443/.well-known/oauth-authorization-server/t/1", "https://a.test:8443/t/1/.well-known/openid-configuration"},
		"https://a.test/t/":       {"https://a.test/.well-known/oauth-authorization-server/t", "https://a.test/t/.well-known/openid-configuration"},
		"https://a.test/%74%2F1":  {"https://a.test/.well-known/oauth-authorization-server/%74%2F1", "https://a.test/%74%2F1/.well-known/openid-configuration"},
	} {
		got, err := metadataURLs(issuer)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v; want %v", issuer, got, err, want)
		}
	}
}

func TestClientAuthIsChosenFromTheList(t *testing.T) {
	for list, want := range map[string]ClientAuth{
		``:                       AuthBasic, // RFC 8414 section 2
		`["client_secret_post"]`: AuthPost,
		`["client_secret_post","client_secret_basic"]`: AuthBasic,
		`["none"]`:                         AuthBasic, // servers omit what they do
		`["private_key_jwt"]`:              AuthBasic,
		`"client_secret_post"`:             AuthBasic,
		`[7,"client_secret_post"]`:         AuthBasic,
		`["none","client_secret_post",""]`: AuthPost,
	} {
		m := metadata{"token_endpoint_auth_methods_supported": []byte(list)}
		if got := m.clientAuth(); got != want {
			t.Errorf("%s: got %s; want %s", list, got, want)
		}
	}
}

func FuzzJudgeMetadata(f *testing.F) {
	f.Add(200, `{"issuer":"https://auth.test","token_endpoint":"https://auth.test/token"}`)
	f.Add(200, `{"issuer":"https://auth.test","token_endpoint":"http://evil.test/token","scopes_supported":[1]}`)
	f.Add(200, `{"issuer":"https://auth.test/?`+planted+`"}`)
	f.Add(200, html)
	f.Add(404, `{"issuer":"https://auth.test"}`)
	f.Add(503, "")
	f.Add(307, "")
	f.Fuzz(func(t *testing.T, status int, body string) {
		doc, fail := judgeMetadata(answered(opDiscover, status, body), []string{testIssuer}, "")
		if (doc == nil) == (fail == nil) {
			t.Fatalf("document %v and error %v; want exactly one", doc, fail)
		}
		if fail != nil {
			if fail.Kind != ErrTransient && fail.Kind != ErrMisconfigured {
				t.Errorf("kind %v", fail.Kind)
			}
			return
		}
		if status < 200 || status > 299 || textField(doc, "issuer") != testIssuer {
			t.Errorf("HTTP %d with issuer %s was taken for metadata", status, doc["issuer"])
		}
		cfg := Config{ClientID: "id"}
		if doc.fill(&cfg) != nil {
			return
		}
		for _, endpoint := range []string{cfg.AuthURL, cfg.TokenURL, cfg.DeviceAuthURL, cfg.RevocationURL, cfg.IntrospectionURL, cfg.UserinfoURL, cfg.PushedAuthURL, cfg.EndSessionURL, cfg.RegistrationURL} {
			if endpoint != "" && checkEndpoint("endpoint", endpoint) != nil {
				t.Errorf("secrets would go to %q", endpoint)
			}
		}
		if cfg.TokenURL == "" {
			t.Error("metadata without a token endpoint was accepted")
		}
	})
}

func TestDeviceAnswerIsRead(t *testing.T) {
	const whole = `"device_code":"d","user_code":"U-1","verification_uri":"https://auth.test/device"`
	for _, tt := range []struct {
		name, body string
		interval   time.Duration
		life       time.Duration
	}{
		{"all said", `{` + whole + `,"interval":7,"expires_in":600}`, 7 * time.Second, 10 * time.Minute},
		{"nothing said", `{` + whole + `}`, 5 * time.Second, 15 * time.Minute},
		{"zero", `{` + whole + `,"interval":0,"expires_in":0}`, 5 * time.Second, 15 * time.Minute},
		{"negative", `{` + whole + `,"interval":-1,"expires_in":-1}`, 5 * time.Second, 15 * time.Minute},
		{"strings", `{` + whole + `,"interval":"2","expires_in":"60"}`, 2 * time.Second, time.Minute},
		{"nanoseconds", `{` + whole + `,"interval":5000000000,"expires_in":900000000000}`, 5 * time.Minute, 15 * time.Minute},
		{"more than fits", `{` + whole + `,"interval":1e300,"expires_in":1e300}`, 5 * time.Minute, 15 * time.Minute},
		{"a draft's name", strings.Replace(`{`+whole+`}`, "verification_uri", "verification_url", 1), 5 * time.Second, 15 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, fail := judgeDeviceAuth(answered(opDevice, 200, tt.body))
			if fail != nil {
				t.Fatal(fail)
			}
			if code.Interval != tt.interval || !code.ExpiresAt.Equal(sentAt.Add(tt.life)) {
				t.Errorf("interval %v, end %v; want %v, %v", code.Interval, code.ExpiresAt, tt.interval, sentAt.Add(tt.life))
			}
			if code.DeviceCode != "d" || code.UserCode != "U-1" || code.VerificationURI != "https://auth.test/device" {
				t.Errorf("code for %s", code.VerificationURI)
			}
		})
	}
}

func TestWhatIsNoDeviceAnswerIsRefused(t *testing.T) {
	document := func(device, user, uri string) string {
		return fmt.Sprintf(`{"device_code":%q,"user_code":%q,"verification_uri":%q}`, device, user, uri)
	}
	for _, tt := range []struct {
		name   string
		status int
		body   string
		kind   error
	}{
		{"no device code", 200, document("", "u", "https://auth.test/"), ErrTransient},
		{"no user code", 200, document(planted, "", "https://auth.test/"), ErrTransient},
		{"no address", 200, document(planted, "u", ""), ErrTransient},
		{"a user code that controls the terminal", 200, document(planted, "\x1b[2J", "https://auth.test/"), ErrTransient},
		{"an address that controls the terminal", 200, document(planted, "u", "https://auth.test/\x1b[2J"), ErrTransient},
		{"an address that runs", 200, document(planted, "u", "javascript:alert(1)"), ErrTransient},
		{"a page", 200, html, ErrTransient},
		{"refused", 400, oauthError("invalid_client"), ErrMisconfigured},
		{"refused with a document", 400, document(planted, "u", "https://auth.test/"), ErrTransient},
		{"refused as 200", 200, oauthError("unauthorized_client"), ErrMisconfigured},
		{"trouble", 503, html, ErrTransient},
		{"redirected", 302, "", ErrMisconfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, fail := judgeDeviceAuth(answered(opDevice, tt.status, tt.body))
			if code != nil || fail == nil || !errors.Is(fail, tt.kind) {
				t.Fatalf("got %v, %v; want %v", code, fail, tt.kind)
			}
			if strings.Contains(fail.Error(), "PLANTED") {
				t.Errorf("the body is in the error: %v", fail)
			}
		})
	}
}

func TestCompleteAddressThatCannotBeShownIsDropped(t *testing.T) {
	code, fail := judgeDeviceAuth(answered(opDevice, 200,
		`{"device_code":"d","user_code":"u","verification_uri":"https://auth.test/","verification_uri_complete":"file:///etc/passwd"}`))
	if fail != nil || code.VerificationURIComplete != "" {
		t.Errorf("got %v, %v", code, fail)
	}
}

func TestDevicePollPlansItsWaits(t *testing.T) {
	now := sentAt
	pending := &Error{Kind: ErrTransient, Code: "authorization_pending", Status: 400}
	trouble := &Error{Kind: ErrTransient, Status: 503}
	p := devicePoll{interval: 5 * time.Second, expiresAt: now.Add(10 * time.Minute)}
	wantNext := func(what string, want time.Duration) {
		t.Helper()
		if got, more := p.next(now); got != want || !more {
			t.Errorf("%s: next poll in %v (more: %v); want %v", what, got, more, want)
		}
	}
	wantNext("at first", 5*time.Second)
	p.goesOn(pending)
	wantNext("pending", 5*time.Second)
	p.goesOn(&Error{Kind: ErrTransient, Code: "slow_down", Status: 400})
	wantNext("slow_down", 10*time.Second)
	p.goesOn(pending)
	wantNext("slow_down is for good", 10*time.Second)
	for i, want := range []time.Duration{20, 40, 60, 60} {
		p.goesOn(trouble)
		wantNext(fmt.Sprintf("failure %d", i+1), want*time.Second)
	}
	p.goesOn(&Error{Kind: ErrTransient, Status: 429, RetryAt: now.Add(3 * time.Minute)})
	wantNext("Retry-After", 3*time.Minute)
	p.goesOn(pending)
	wantNext("recovered", 10*time.Second)

	p.failures = 3
	now = p.expiresAt.Add(-30 * time.Second)
	wantNext("a long wait is cut to poll before the end", 29*time.Second)
	now = p.expiresAt.Add(-5 * time.Second)
	if _, more := p.next(now); more {
		t.Error("a poll is planned after the end of the code")
	}
	if p.goesOn(&Error{Kind: ErrLoginRequired}) || p.goesOn(&Error{Kind: ErrMisconfigured}) {
		t.Error("polling goes on after a verdict")
	}
}
