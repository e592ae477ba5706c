package oauth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

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
