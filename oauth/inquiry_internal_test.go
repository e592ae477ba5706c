package oauth

import (
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/outside"
)

// FuzzJudgeDeviceAuth looks for an answer that shows a person what writes on a terminal, or
// polls without a pause or an end.
func FuzzJudgeDeviceAuth(f *testing.F) {
	f.Add(200, `{"device_code":"d","user_code":"U-1","verification_uri":"https://auth.test/device","interval":7,"expires_in":600}`)
	f.Add(200, `{"device_code":"d","user_code":"U-1","verification_url":"https://аuth.test/device","interval":1e300,"expires_in":-1}`)
	f.Add(200, `{"device_code":"d","user_code":"\u001b[2J","verification_uri":"https://auth.test/\u202e"}`)
	f.Add(200, `{"device_code":"d","user_code":"U","verification_uri":"javascript:alert(1)","verification_uri_complete":"https://u:p@auth.test/"}`)
	f.Add(400, `{"error":"unauthorized_client"}`)
	f.Add(200, html)
	f.Fuzz(func(t *testing.T, status int, body string) {
		code, fail := judgeDeviceAuth(answered(opDevice, status, body))
		if (code == nil) == (fail == nil) {
			t.Fatalf("code %v and error %v; want exactly one", code, fail)
		}
		if fail != nil {
			return
		}
		if code.Interval <= 0 || code.Interval > maxInterval || !code.ExpiresAt.After(sentAt) || code.ExpiresAt.Sub(sentAt) > 366*24*time.Hour {
			t.Errorf("polls each %v until %v", code.Interval, code.ExpiresAt)
		}
		for _, shown := range []string{code.UserCode, code.VerificationURI, code.VerificationURIComplete} {
			if outside.Text(shown).String() != shown {
				t.Errorf("%q is shown", shown)
			}
		}
		for _, address := range []string{code.VerificationURI, code.VerificationURIComplete} {
			if address != "" && !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "http://") {
				t.Errorf("a person is to open %q", address)
			}
		}
	})
}

// FuzzJudgeInquiry looks for an answer to introspection or userinfo that is neither a result
// nor a failure, or that ends a session: whoever only asks decides nothing.
func FuzzJudgeInquiry(f *testing.F) {
	f.Add(200, `{"active":true,"sub":"1","scope":"a b","exp":1900000000}`, "1")
	f.Add(200, `{"active":"true"}`, "")
	f.Add(200, `{"active":true,"exp":1e300,"iat":"NaN","scope":["a",1]}`, "")
	f.Add(200, `{"sub":7,"email_verified":"yes"}`, "7")
	f.Add(400, `{"error":"invalid_grant"}`, "1")
	f.Add(401, `{"error":"invalid_token"}`, "1")
	f.Add(200, html, "1")
	f.Fuzz(func(t *testing.T, status int, body, subject string) {
		result, fail := judgeIntrospection(answered(opIntrospect, status, body))
		checkInquiry(t, result != nil, fail)
		info, fail := judgeUserinfo(answered(opUserinfo, status, body), subject)
		checkInquiry(t, info != nil, fail)
		if info != nil && subject != "" && info.Subject != subject {
			t.Errorf("%q passes for %q", info.Subject, subject)
		}
		fail = judgeRevocation(answered(opRevoke, status, body))
		checkInquiry(t, fail == nil, fail)
	})
}

func checkInquiry(t *testing.T, answered bool, fail *Error) {
	t.Helper()
	if answered == (fail != nil) {
		t.Errorf("a result: %v, error %v; want exactly one", answered, fail)
	}
	if fail != nil && fail.Kind == ErrLoginRequired {
		t.Errorf("a question ends the session: %v", fail)
	}
}
