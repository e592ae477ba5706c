package refresh_test

import (
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// nestedAnswers are those of oauthtest's odd answers whose tokens stand deeper than
// usual.
func nestedAnswers(t *testing.T) map[string]oauthtest.OddAnswer {
	t.Helper()
	nested := make(map[string]oauthtest.OddAnswer)
	for _, odd := range oauthtest.Cases().OddAnswers {
		if odd.TokenPath != "" {
			nested[odd.Name] = odd
		}
	}
	if len(nested) < 2 {
		t.Fatalf("%d nested answers; want some", len(nested))
	}
	return nested
}

// A client that is told where the tokens stand takes them.
func TestF64_TokensDeeperInTheAnswerAreTakenByTheirPath(t *testing.T) {
	for name, odd := range nestedAnswers(t) {
		inBubble(t, name, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{})
			client := f.server.OAuthConfig()
			client.TokenPath = odd.TokenPath
			m := f.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient = oauth.NewClient(client) }).start(t)
			odd.Fault.Times = -1
			m.server.Script(odd.Fault)
			for range 3 {
				before, asked := m.saved(t), m.requests()
				if err := m.ForceRefresh(t.Context()); err != nil {
					t.Errorf("not renewed: %v", err)
				}
				if m.saved(t).RefreshToken == before.RefreshToken || m.requests()-asked != 1 {
					t.Errorf("%d requests, a new pair in the store: %v", m.requests()-asked, m.saved(t).RefreshToken != before.RefreshToken)
				}
				pass(2 * minute)
			}
			m.inState(t, refresh.StateValid)
			m.clean(t)
		})
	}
}

// Without being told it cannot take them. It does not send the spent token again, and
// names the members that there are, so that somebody can tell it.
func TestF64_TokensDeeperInTheAnswerAreReportedByTheirMembers(t *testing.T) {
	for name, odd := range nestedAnswers(t) {
		inBubble(t, name, func(t *testing.T) {
			var told failures
			f := newFixture(t, oauthtest.Config{}, told.use).start(t)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			before, asked := f.saved(t), f.requests()
			var sent string
			rewrite := odd.Fault.Rewrite
			odd.Fault.Rewrite = func(body []byte) []byte {
				body = rewrite(body)
				sent = string(body)
				return body
			}
			f.server.Script(odd.Fault)
			err := f.ForceRefresh(t.Context())
			is(t, err, oauth.ErrMisconfigured)
			pass(60 * minute)
			f.inState(t, refresh.StateMisconfigured)
			if n := f.requests() - asked; n != 1 {
				t.Errorf("%d requests within an hour; want 1: the token is spent", n)
			}
			if f.saved(t).RefreshToken != before.RefreshToken {
				t.Error("the pair is gone")
			}
			if n := len(told.heard()); n != 0 {
				t.Errorf("OnRefreshFail was called %d times", n)
			}
			for _, text := range []string{err.Error(), f.GetRefreshStatus().LastError} {
				namesMembers(t, text, odd.TokenPath, sent)
			}
			f.clean(t)
		})
	}
}

// namesMembers fails the test unless text names the member at path, and nothing else of
// the body that was sent.
func namesMembers(t *testing.T, text, path, sent string) {
	t.Helper()
	if !strings.Contains(text, path) {
		t.Errorf("error %q does not name the member %q", text, path)
	}
	for value := range strings.FieldsFuncSeq(sent, func(r rune) bool { return strings.ContainsRune(`{}":,`, r) }) {
		if len(value) > 30 && strings.Contains(text, value) {
			t.Errorf("error %q repeats a token", text)
		}
	}
}

// So is an answer in other names altogether, at OAuth servers and at home-grown backends:
// where reuse ends all of the person's sessions, a second sending would do so.
func TestF64_AnswerInOtherNamesIsNotSentAgain(t *testing.T) {
	renamed := func(fields map[string]any) {
		for _, name := range []string{"access_token", "refresh_token", "accessToken", "refreshToken"} {
			if value, found := fields[name]; found {
				fields["k"+strings.Repeat("x", len(name))] = value
				delete(fields, name)
			}
		}
	}
	check := func(t *testing.T, f *fixture, endpoint oauthtest.Endpoint, told *failures) {
		t.Helper()
		if _, err := f.server.Login("alice"); err != nil {
			t.Fatal(err)
		}
		f.server.Script(oauthtest.Fault{Endpoint: endpoint, Edit: renamed, Times: -1})
		err := f.ForceRefresh(t.Context())
		is(t, err, oauth.ErrMisconfigured)
		pass(60 * minute)
		if n := f.server.Requests(endpoint); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}
		if n := f.server.Sessions("alice"); n != 2 {
			t.Errorf("%d of the person's two sessions are left", n)
		}
		f.inState(t, refresh.StateMisconfigured)
		if text := err.Error(); !strings.Contains(text, "kxxx") || strings.Contains(text, f.first.RefreshToken) {
			t.Errorf("error %q; want the names of the members alone", text)
		}
		if n := len(told.heard()); n != 0 {
			t.Errorf("OnRefreshFail was called %d times", n)
		}
		f.clean(t)
	}
	inBubble(t, "OAuth", func(t *testing.T) {
		var told failures
		check(t, newFixture(t, oauthtest.Config{}, told.use).start(t), oauthtest.TokenEndpoint, &told)
	})
	for _, b := range backendCases() {
		if b.keeps || b.name == "cookie" || b.name == "gin-jwt by cookie" { // whose answer has no refresh token
			continue
		}
		inBubble(t, b.name, func(t *testing.T) {
			var told failures
			f, _ := newBackendFixture(t, b, told.use)
			check(t, f, b.backend.RefreshEndpoint(), &told)
		})
	}
}

// An answer with a good access token whose refresh token stands elsewhere: the access token is
// served, and the refresh token before it is not sent again, here or by the next process.
func TestF64_AnAccessTokenIsServedThoughItsRefreshTokenIsUnread(t *testing.T) {
	elsewhere := func(fields map[string]any) {
		fields["next"] = map[string]any{"refresh_token": fields["refresh_token"]}
		delete(fields, "refresh_token")
	}
	inBubble(t, "", func(t *testing.T) {
		var told failures
		f := newFixture(t, oauthtest.Config{}, told.use).start(t)
		f.server.Script(oauthtest.Fault{Endpoint: oauthtest.TokenEndpoint, Edit: elsewhere, Times: -1})
		before := f.requests()
		err := f.ForceRefresh(t.Context())
		is(t, err, oauth.ErrUnreadAnswer)
		served, err := f.TokenContext(t.Context())
		if err != nil || served.AccessToken == f.first.AccessToken {
			t.Errorf("served is %v, %v; want the new access token", served, err)
		}
		if rec := f.saved(t); rec.AccessToken != served.AccessToken || rec.RefreshToken != f.first.RefreshToken {
			t.Errorf("saved is %v; want what is served", rec)
		}
		f.Stop()
		if err := f.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		pass(180 * minute)
		if n := f.requests() - before; n != 1 {
			t.Errorf("%d requests; want 1: the token is spent", n)
		}
		f.inState(t, refresh.StateMisconfigured)
		_, err = f.TokenContext(t.Context())
		is(t, err, oauth.ErrUnreadAnswer)
		if n := f.server.Sessions("alice"); n != 1 || len(told.heard()) != 0 {
			t.Errorf("%d sessions, and OnRefreshFail was called %d times; want one, and no call", n, len(told.heard()))
		}
		f.clean(t)
	})
}
