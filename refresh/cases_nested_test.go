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
