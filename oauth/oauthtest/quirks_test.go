package oauthtest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// quirky returns a server in process with the given quirks.
func quirky(q oauthtest.Quirks) *oauthtest.Server { return oauthtest.New(oauthtest.Config{Quirks: q}) }

func TestRefusalsAreSentAsTheyAre(t *testing.T) {
	names := map[string]bool{}
	for _, r := range append(oauthtest.Cases().RefreshRefusals, oauthtest.Cases().AccessRefusals...) {
		if names[r.Name] || r.Name == "" {
			t.Errorf("the name %q is not of one refusal", r.Name)
		}
		names[r.Name] = true
		s := quirky(oauthtest.Quirks{DeadRefresh: r, DeadAccess: r, UnknownClient: r})
		s.RevokeAll("alice")
		unknown := form("grant_type", "refresh_token", "refresh_token", "x")
		unknown.Set("client_id", "nobody")
		for where, got := range map[string]result{
			"refresh":  refresh(t.Context(), s, "dead"),
			"resource": get(t.Context(), s.Client(), s.Resource(), "dead"),
			"client":   post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), unknown),
		} {
			if got.status != r.Status || got.body != r.Body || got.header.Get("WWW-Authenticate") != r.Challenge {
				t.Errorf("%s, %s: HTTP %d %q, challenge %q", r.Name, where, got.status, got.body, got.header.Get("WWW-Authenticate"))
			}
			if kind := got.header.Get("Content-Type"); (kind == "") != (r.Body == "" && r.ContentType == "") {
				t.Errorf("%s, %s: Content-Type %q", r.Name, where, kind)
			}
		}
	}
}

// A client that is told something else than invalid_grant cannot know that its
// token is dead, and may try it again.
func TestOnlyInvalidGrantMakesTryingAgainAMistake(t *testing.T) {
	for _, r := range oauthtest.Cases().RefreshRefusals {
		s := quirky(oauthtest.Quirks{DeadRefresh: r})
		_, token := login(t, s)
		s.RevokeAll("alice")
		for range 2 {
			refresh(t.Context(), s, token)
		}
		var want []oauthtest.MistakeKind
		if strings.HasSuffix(r.Name, "invalid_grant") {
			want = append(want, oauthtest.SpentAfterRevocation)
		}
		wantMistakes(t, s, want...)
	}
}

func TestGraceRepeatsTheAnswerWithWhatIsLeftOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{
			AccessTokenLifetime: 5 * time.Second, Grace: 10 * time.Second, Quirks: oauthtest.Quirks{GraceRepeats: true},
		})
		_, first := login(t, s)
		a := refresh(t.Context(), s, first).wantOK(t)
		time.Sleep(8 * time.Second)
		b := refresh(t.Context(), s, first).wantOK(t)
		for _, name := range []string{"access_token", "refresh_token"} {
			if a.text(t, name) != b.text(t, name) {
				t.Errorf("another %s", name)
			}
		}
		if got := b.field(t, "expires_in"); got != -3.0 {
			t.Errorf("expires_in %v; want -3", got)
		}
		time.Sleep(3 * time.Second)
		refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")
	})
}

func TestGraceUntilUseEndsWithTheFirstUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quirky(oauthtest.Quirks{GraceUntilUse: true})
		old, first := login(t, s)
		refresh(t.Context(), s, first).wantOK(t)
		time.Sleep(10 * time.Minute)
		resourceStatus(t, s, old) // the old one's use ends nothing
		access := refresh(t.Context(), s, first).wantOK(t).text(t, "access_token")
		resourceStatus(t, s, access)
		refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")
	})
}

func TestReuseCanEndOneSession(t *testing.T) {
	s := quirky(oauthtest.Quirks{ReuseEndsOneSession: true})
	_, first := login(t, s)
	_, other := login(t, s)
	second := refresh(t.Context(), s, first).wantOK(t).text(t, "refresh_token")
	refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")
	refresh(t.Context(), s, second).wantError(t, 400, "invalid_grant")
	refresh(t.Context(), s, other).wantOK(t)
}

// revoke ends a token, by RFC 7009.
func revoke(t *testing.T, s *oauthtest.Server, token string) result {
	return post(t.Context(), s.Client(), s.Endpoint(oauthtest.RevocationEndpoint), form("token", token))
}

func TestRevokedTokenCanCountAsReused(t *testing.T) {
	for _, quirk := range []bool{false, true} {
		s := quirky(oauthtest.Quirks{RevokedIsReused: quirk})
		_, revoked := login(t, s)
		_, other := login(t, s)
		revoke(t, s, revoked)
		refresh(t.Context(), s, revoked).wantError(t, 400, "invalid_grant")
		if got := refresh(t.Context(), s, other).status; (got == 400) != quirk {
			t.Errorf("quirk %v: the other session answers HTTP %d", quirk, got)
		}
	}
}

func TestFailedAttemptsCanSpendTheToken(t *testing.T) {
	for name, values := range map[string]url.Values{
		"scope":          {"scope": {"admin"}},
		"wrong secret":   {"client_secret": {"wrong"}},
		"another client": {"client_id": {"other"}},
	} {
		for _, quirk := range []bool{false, true} {
			s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "other"}}, Quirks: oauthtest.Quirks{FailureSpends: quirk}})
			_, token := login(t, s)
			bad := form("grant_type", "refresh_token", "refresh_token", token)
			for name := range values {
				bad.Set(name, values.Get(name))
			}
			if got := post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), bad); got.status < 400 {
				t.Errorf("%s: HTTP %d", name, got.status)
			}
			if got := refresh(t.Context(), s, token); (got.status == 400) != quirk {
				t.Errorf("%s, quirk %v: HTTP %d after a failed attempt", name, quirk, got.status)
			}
		}
	}
}

func TestRevocationOfAccessTokensAndUnknownOnes(t *testing.T) {
	for _, quirk := range []bool{false, true} {
		s := quirky(oauthtest.Quirks{AccessRevocationEndsSession: quirk, UnknownRevocationFails: quirk})
		access, token := login(t, s)
		_, other := login(t, s)
		if got := revoke(t, s, access); got.status != 200 {
			t.Errorf("an access token: HTTP %d", got.status)
		}
		if got := refresh(t.Context(), s, token); (got.status == 400) != quirk {
			t.Errorf("quirk %v: HTTP %d after its access token was revoked", quirk, got.status)
		}
		if got := revoke(t, s, other); got.status != 200 {
			t.Errorf("a refresh token: HTTP %d", got.status)
		}
		for _, dead := range []string{other, "unknown"} {
			if got := revoke(t, s, dead); (got.status == 400) != quirk {
				t.Errorf("quirk %v: HTTP %d for a token that is not there", quirk, got.status)
			}
		}
	}
}

func TestAccessTokensOfOneSecondCanBeTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quirky(oauthtest.Quirks{SameSecondSameAccess: true})
		access, token := login(t, s)
		r := refresh(t.Context(), s, token).wantOK(t)
		if r.text(t, "access_token") != access || r.text(t, "refresh_token") == token {
			t.Error("want the same access token and another refresh token")
		}
		narrow := form("grant_type", "refresh_token", "refresh_token", r.text(t, "refresh_token"), "scope", "openid")
		r = post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), narrow).wantOK(t)
		if r.text(t, "access_token") == access {
			t.Error("the same access token for another scope")
		}
		before := refresh(t.Context(), s, r.text(t, "refresh_token")).wantOK(t)
		time.Sleep(time.Second)
		after := refresh(t.Context(), s, before.text(t, "refresh_token")).wantOK(t)
		if before.text(t, "access_token") == after.text(t, "access_token") {
			t.Error("the same access token in the next second")
		}
	})
}

func TestSchemeCanBeReadByTheLetter(t *testing.T) {
	for _, quirk := range []bool{false, true} {
		s := quirky(oauthtest.Quirks{ExactScheme: quirk})
		access, _ := login(t, s)
		for scheme, want := range map[string]bool{"Bearer": true, "bearer": !quirk} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Resource(), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", scheme+" "+access)
			if got := send(s.Client(), r); (got.status == 200) != want {
				t.Errorf("quirk %v, scheme %s: HTTP %d", quirk, scheme, got.status)
			}
		}
	}
}

func TestDeviceQuirks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := quirky(oauthtest.Quirks{DevicePending: 401, DeviceCodeTwiceEndsSession: true})
		d := startDevice(t, s)
		code := d.text(t, "device_code")
		poll(t, s, code).wantError(t, 401, "authorization_pending")
		poll(t, s, code).wantError(t, 400, "slow_down")
		if err := s.AllowDevice(t.Context(), d.text(t, "user_code"), "alice"); err != nil {
			t.Fatal(err)
		}
		token := poll(t, s, code).wantOK(t).text(t, "refresh_token")
		token = refresh(t.Context(), s, token).wantOK(t).text(t, "refresh_token")
		poll(t, s, code).wantError(t, 400, "invalid_grant")
		refresh(t.Context(), s, token).wantError(t, 400, "invalid_grant")
	})
}
