package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/costmeter"
	"github.com/evertoken/evertoken/oauth"
)

func TestAnswersAreReadUnderSeveralNamesAndAtSeveralPlaces(t *testing.T) {
	nested := Answer{AccessToken: "data.access_token jwt", RefreshToken: "data.refresh_token", ExpiresIn: "meta.expires_in ttl", ExpiresAt: "meta.expires", RefreshExpiresAt: "meta.refresh_end"}
	below := Answer{TokenPath: "result.tokens", AccessToken: "jwt", RefreshToken: "secrets.rt", ExpiresIn: "meta.ttl"}
	for _, tt := range []struct {
		answer          Answer
		body            string
		access, refresh string
		life            time.Duration // of the access token; zero: not known
		refreshLife     time.Duration
		extra           string // what is left of data
	}{
		{nested, `{"data":{"access_token":"a","refresh_token":"r","user":7},"meta":{"expires_in":600}}`, "a", "r", 10 * time.Minute, 0, `{"user":7}`},
		{nested, `{"data":{"accessToken":"a","RefreshToken":"r"},"Meta":{"ExpiresIn":"600"}}`, "a", "r", 10 * time.Minute, 0, `{}`},
		{nested, `{"jwt":"a","ttl":60}`, "a", "", time.Minute, 0, ``},
		{nested, `{"data":{"access_token":""},"jwt":"a"}`, "a", "", 0, 0, `{}`},
		{nested, `{"data":{"access_token":null},"jwt":"a"}`, "a", "", 0, 0, `{}`},
		{nested, `{"data":"{\"access_token\":\"a\"}"}`, "a", "", 0, 0, ``},
		{nested, `{"data.access_token":"a","data":{"x":1}}`, "a", "", 0, 0, `{"x":1}`},
		{nested, `{"jwt":"a","meta":{"expires":"2026-11-20T10:30:00Z","refresh_end":"2026-11-21T10:00:00Z"}}`, "a", "", 30 * time.Minute, 24 * time.Hour, ``},
		{nested, `{"jwt":"a","meta":{"expires":1795170600}}`, "a", "", 30 * time.Minute, 0, ``},
		{nested, `{"jwt":"a","meta":{"expires":"1795170600000"}}`, "a", "", 30 * time.Minute, 0, ``},
		{nested, `{"jwt":"a","access_token":"decoy","refresh_token":"decoy","expires_in":5}`, "a", "decoy", 0, 0, ``},
		{nested, `{"data":{"access_token":"a","refresh_token":"r","us`, "a", "r", 0, 0, ``}, // cut
		{below, `{"result":{"tokens":{"jwt":"a","secrets":{"rt":"r"}}},"meta":{"ttl":60},"jwt":"decoy"}`, "a", "r", time.Minute, 0, ``},
		{below, `{"result":{"tokens":{"jwt":"a","meta":{"ttl":60}}},"meta":{"ttl":5}}`, "a", "", time.Minute, 0, ``},
		{Answer{ExpiresIn: "expires_in_minutes"}, `{"access_token":"a","expires_in_minutes":15}`, "a", "", 15 * time.Minute, 0, ``},
		{Answer{ExpiresIn: "expiresInMs"}, `{"access_token":"a","expiresInMs":1234000}`, "a", "", 1234 * time.Second, 0, ``},
		{Answer{ExpiresIn: "validity_minutes"}, `{"access_token":"a","validity_minutes":15}`, "a", "", 15 * time.Minute, 0, ``},
		{Answer{ExpiresIn: "sessionHours"}, `{"access_token":"a","sessionHours":"2"}`, "a", "", 2 * time.Hour, 0, ``},
		{Answer{ExpiresIn: "meta.dauer_ms"}, `{"access_token":"a","meta":{"dauer_ms":2000}}`, "a", "", 2 * time.Second, 0, ``},
		{Answer{ExpiresIn: "terms"}, `{"access_token":"a","terms":90}`, "a", "", 90 * time.Second, 0, ``},
		{Answer{RefreshExpiresIn: "session_days"}, `{"access_token":"a","session_days":2}`, "a", "", 0, 48 * time.Hour, ``},
		{Answer{}, `{"access_token":"a","ttl_minutes":15}`, "a", "", 15 * time.Minute, 0, ``},
		{Answer{TokenPath: "token_pair", AccessToken: "jwt", RefreshToken: "rt"}, `{"tokenPair":{"jwt":"a","rt":"r","expiresIn":"60"}}`, "a", "r", time.Minute, 0, ``},
		{Answer{TokenPath: "data.tokenPair"}, `{"Data":{"token-pair":{"accessToken":"a","refresh_token":"r","expires_in":60}},"access_token":"decoy"}`, "a", "r", time.Minute, 0, ``},
		{Answer{ExpiresIn: "valid"}, `{"access_token":"a","valid":90}`, "a", "", 90 * time.Second, 0, ``},
		{Answer{ExpiresIn: "exp"}, `{"access_token":"a","exp":1795170600}`, "a", "", 30 * time.Minute, 0, ``},
		{Answer{ExpiresAt: "good_till"}, `{"access_token":"a","good_till":"Fri, 20 Nov 2026 10:30:00 GMT"}`, "a", "", 30 * time.Minute, 0, ``},
		{Answer{RefreshExpiresIn: "refresh_days.expires_in_days"}, `{"access_token":"a","refresh_days":{"expires_in_days":2}}`, "a", "", 0, 0, ``},
		{Answer{AccessToken: "token"}, `{"code":200,"expire":"2026-11-20T10:30:00Z","token":"a"}`, "a", "", 30 * time.Minute, 0, ``},
	} {
		t.Run(tt.body, func(t *testing.T) {
			a := answered(opRefresh, http.StatusOK, tt.body)
			a.Whole = tt.body[len(tt.body)-1] == '}'
			p, fail := judge(tt.answer, nil, a)
			if fail != nil {
				t.Fatal(fail)
			}
			if p.AccessToken != tt.access || p.RefreshToken != tt.refresh {
				t.Errorf("tokens %q and %q; want %q and %q", p.AccessToken, p.RefreshToken, tt.access, tt.refresh)
			}
			life := p.ExpiresAt.Sub(sentAt)
			if p.ExpiresAt.IsZero() {
				life = 0
			}
			if got := life.Round(time.Second); got != tt.life {
				t.Errorf("the access token lives %v; want %v", got, tt.life)
			}
			if tt.refreshLife != 0 && p.RefreshExpiresAt.Sub(sentAt).Round(time.Second) != tt.refreshLife {
				t.Errorf("the refresh token lives until %v; want %v", p.RefreshExpiresAt, tt.refreshLife)
			}
			if got := string(p.Extra["data"]); a.Whole && got != tt.extra {
				t.Errorf("data is kept as %s; want %s: tokens are kept once", got, tt.extra)
			}
		})
	}
}

// An encoder that leaves no field out, or one that writes each name twice.
func TestANameInSeveralSpellingsIsReadWhereItHoldsSomething(t *testing.T) {
	for body, want := range map[string]string{
		`{"access_token":"","accessToken":"a","refresh_token":null,"refreshToken":"r","expires_in":"","expiresIn":"60"}`: "a r 1m0s",
		`{"accessToken":"","access_token":"a","refreshToken":null,"refresh_token":"r","expires_in":60,"expiresIn":null}`: "a r 1m0s",
		`{"AccessToken":"a","accessToken":"","access_token":null,"RefreshToken":"r","note":5,"Expires_In":60}`:           "a r 1m0s",
		`{"accessToken":"b","access_token":"a","refreshToken":"q","refresh_token":"r","expiresIn":5,"expires_in":60}`:    "a r 1m0s",
		`{"access_token":"a","accessToken":"a","refresh_token":"","refreshToken":null,"expires_in":60}`:                  "a  1m0s",
	} {
		p, fail := judge(Kratos().Answer, nil, answered(opRefresh, http.StatusOK, body))
		if fail != nil {
			t.Errorf("%s: %v", body, fail)
			continue
		}
		if got := fmt.Sprint(p.AccessToken, " ", p.RefreshToken, " ", p.ExpiresAt.Sub(sentAt).Round(time.Second)); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
		for name := range p.Extra {
			if name != "note" {
				t.Errorf("%s: %s is kept a second time", body, name)
			}
		}
	}
	listed := Answer{ErrorCodes: []string{"errors.code"}}
	for body, want := range map[string]error{
		`{"errors":[{"code":"GONE"},{"code":"OTHER"}]}`: oauth.ErrTokenInvalid,
		`{"errors":[{"code":"OTHER"},{"code":"GONE"}]}`: nil,
		`{"errors":{"code":"GONE"}}`:                    oauth.ErrTokenInvalid,
		`{"errors":[]}`:                                 nil,
		`{"errors":["GONE"]}`:                           nil,
	} {
		_, fail := judge(listed, []Error{{Code: "GONE", Means: oauth.ErrTokenInvalid}}, answered(opRefresh, http.StatusUnauthorized, body))
		if fail.Err != want {
			t.Errorf("%s: %v; want %v", body, fail, want)
		}
	}
	_, fail := judge(Kratos().Answer, Kratos().Refresh.Errors, answered(opRefresh, http.StatusUnauthorized, `{"reason":"","Reason":"TOKEN_EXPIRED"}`))
	if !errors.Is(fail, oauth.ErrTokenExpired) {
		t.Errorf("a code in a second spelling: %v; want ErrTokenExpired", fail)
	}
}

// AWS Cognito has one code for a dead refresh token and for a wrong secret, and tells them
// apart in a text; others have a code beside a text for people.
func TestListedCodeCountsWhateverStandsAtAnotherPath(t *testing.T) {
	n := Answer{ErrorCodes: []string{"message", "__type"}}
	errs := []Error{{Code: "Refresh Token has been revoked", Means: oauth.ErrTokenInvalid}, {Code: "UserNotFoundException", Means: oauth.ErrUserNotFound}}
	for body, want := range map[string]oauth.Verdict{
		`{"__type":"NotAuthorizedException","message":"Refresh Token has been revoked"}`: oauth.VerdictEnded,
		`{"__type":"NotAuthorizedException","message":"Unable to verify secret hash"}`:   oauth.VerdictUnclear,
		`{"__type":"UserNotFoundException","message":"This one does not exist."}`:        oauth.VerdictEnded,
		`{"__type":"UserNotFoundException"}`:                                             oauth.VerdictEnded,
		`{"__type":"OtherException","message":"no"}`:                                     oauth.VerdictUnclear,
	} {
		if _, fail := judge(n, errs, answered(opRefresh, http.StatusBadRequest, body)); fail.Verdict() != want {
			t.Errorf("%s: %v, %v; want %v", body, fail.Verdict(), fail, want)
		}
	}
}

// A name is looked for in any spelling, and a dialect has many names.
func TestF93_ManyMembersCostNoMoreThanTheirLength(t *testing.T) {
	n := Answer{
		AccessToken: "data.a data.b data.c x.y.z token", RefreshToken: "data.r x.r", ExpiresIn: "data.e", TokenPath: "data",
		ErrorCodes: []string{"errors.extensions.code", "e.f.g", "code"},
	}
	for name, piece := range map[string]func(i int) string{
		"members":   func(i int) string { return fmt.Sprintf(`"%x":1,`, i) },
		"objects":   func(i int) string { return fmt.Sprintf(`"%x":{"code":"x"},`, i) },
		"spellings": func(i int) string { return `"to` + strings.Repeat("_", 1+i%60) + strings.Repeat("-", i/60) + `ken":1,` },
	} {
		for _, status := range []int{http.StatusOK, http.StatusUnauthorized} {
			parser := func(size int) func() {
				var b strings.Builder
				for i := 0; b.Len() < size; i++ {
					b.WriteString(piece(i))
				}
				body := `{"token":"a","data":{` + b.String() + `"n":1}}`
				return func() { _, _ = judge(n, Kratos().Refresh.Errors, answered(opRefresh, status, body)) }
			}
			const size = 128 << 10
			what := fmt.Sprint(name, " under ", status)
			costmeter.Check(t, what, size, costmeter.Limit{PerByte: 700, Fixed: 1 << 20}, parser(size))
			costmeter.CheckWork(t, what, size, parser)
		}
	}
}

func TestNumbersCanBeErrorCodes(t *testing.T) {
	n := Answer{ErrorCodes: []string{"code", "error.reason"}}
	errs := []Error{{Code: "50014", Means: oauth.ErrTokenExpired}, {Status: 401, Code: "GONE", Means: oauth.ErrTokenInvalid}}
	for body, want := range map[string]error{
		`{"code":50014,"msg":"x"}`:                oauth.ErrTokenExpired,
		`{"code":"50014"}`:                        oauth.ErrTokenExpired,
		`{"code":401,"error":{"reason":"GONE"}}`:  oauth.ErrTokenInvalid, // a status of the answer's own
		`{"code":50015,"error":{"reason":"no"}}`:  nil,
		`{"code":"50015"}`:                        nil,
		`{"code":[50014]}`:                        nil,
		`{"code":401,"error":{"reason":"OTHER"}}`: nil,
	} {
		_, fail := judge(n, errs, answered(opRefresh, http.StatusUnauthorized, body))
		if fail == nil || fail.Err != want || (fail.Kind == oauth.ErrLoginRequired) != (want != nil) {
			t.Errorf("%s: %v; want %v", body, fail, want)
		}
	}
	// Backends that answer 200 to everything.
	if _, fail := judge(n, errs, answered(opRefresh, http.StatusOK, `{"code":50014,"msg":"x"}`)); fail.Kind != oauth.ErrLoginRequired {
		t.Errorf("under 200: %v; want ErrLoginRequired", fail)
	}
}
