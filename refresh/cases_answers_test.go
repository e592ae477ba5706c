package refresh_test

import (
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// The server has renewed the session, the tokens stand whole in the answer, and the
// rest of it is odd. On a server that ends the session when a spent refresh token
// comes back, they are taken, or all is lost.
func TestF63_TokensInAnOddAnswerAreTaken(t *testing.T) {
	for _, odd := range oauthtest.Cases().OddAnswers {
		if odd.Cut || odd.TokenPath != "" {
			continue
		}
		inBubble(t, odd.Name, func(t *testing.T) {
			var told failures
			f := newFixture(t, oauthtest.Config{}, told.use).start(t)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			before, asked := f.saved(t), f.requests()
			f.server.Script(odd.Fault)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Errorf("the tokens are not taken: %v", err)
			}
			pass(minute)
			f.inState(t, refresh.StateValid)
			if n := f.requests() - asked; n != 1 {
				t.Errorf("%d requests; want 1", n)
			}
			saved := f.saved(t)
			if saved.RefreshToken == before.RefreshToken || saved.AccessToken == before.AccessToken {
				t.Error("the store does not hold the new pair")
			}
			if saved.IDToken == "" || saved.Scope == "" {
				t.Error("what the answer omits is lost")
			}
			if life := saved.ExpiresAt.Sub(saved.IssuedAt); life != 15*minute {
				t.Errorf("the access token is said to live %v", life)
			}
			pass(allDue) // the refresh token in it is the right one
			f.inState(t, refresh.StateValid)
			f.mustCall(t)
			if n := len(told.heard()); n != 0 {
				t.Errorf("OnRefreshFail was called %d times", n)
			}
			f.clean(t)
		})
	}
}

// A token that is not whole is none: the answer is lost, and asked for again within
// the grace of a server that has one.
func TestF63_TokenThatIsCutIsAskedForAgain(t *testing.T) {
	for _, odd := range oauthtest.Cases().OddAnswers {
		if !odd.Cut {
			continue
		}
		inBubble(t, odd.Name, func(t *testing.T) {
			var told failures
			f := newFixture(t, oauthtest.Config{Grace: minute / 2}, told.use).start(t)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			asked := f.requests()
			f.server.Script(odd.Fault)
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Errorf("not renewed: %v", err)
			}
			if n := f.requests() - asked; n != 2 {
				t.Errorf("%d requests; want 2", n)
			}
			pass(60 * minute)
			f.inState(t, refresh.StateValid)
			if n := len(told.heard()); n != 0 {
				t.Errorf("OnRefreshFail was called %d times", n)
			}
			f.clean(t)
		})
	}
}

// F63, where the new refresh token came whole and the access token did not: the one that was
// sent is spent, so that a server without a grace would take it for reuse.
func TestF63_TheRefreshTokenOfAnAnswerThatBreaksOffIsKept(t *testing.T) {
	template := func(text string, cut bool) oauthtest.Fault {
		return oauthtest.Fault{EndsEarly: cut, Rewrite: func(body []byte) []byte {
			var fields map[string]any
			if json.Unmarshal(body, &fields) != nil {
				return body
			}
			return []byte(os.Expand(text, func(name string) string {
				value, isForm := strings.CutPrefix(name, "form:")
				if value = fields[value].(string); isForm {
					value = url.QueryEscape(value)
				}
				return value
			}))
		}}
	}
	for name, tt := range map[string]struct {
		fault oauthtest.Fault
		state refresh.State // until it is asked again
	}{
		"in the access token":    {template(`{"refresh_token":"$refresh_token","access_token":"eyJ`, true), refresh.StateRetrying},
		"before it":              {template(`{"expires_in":3600,"refresh_token":"$refresh_token",`, true), refresh.StateRetrying},
		"in a form":              {template(`refresh_token=${form:refresh_token}&access_token=eyJ`, true), refresh.StateRetrying},
		"without one":            {template(`{"refresh_token":"$refresh_token","token_type":"Bearer"}`, false), refresh.StateMisconfigured},
		"with one of no use":     {template(`{"refreshToken":"$refresh_token","access_token":"a\nb"}`, false), refresh.StateMisconfigured},
		"and the token was dead": {template(`{"refresh_token":"$refresh_token","access_token":"eyJ`, true), refresh.StateRetrying},
	} {
		inBubble(t, name, func(t *testing.T) {
			var told failures
			f := newFixture(t, oauthtest.Config{}, told.use).start(t)
			before := f.saved(t)
			f.server.Script(tt.fault)
			if name == "and the token was dead" {
				f.server.ExpireAccess("alice")
				pass(2 * time.Hour)
			} else if err := f.ForceRefresh(t.Context()); err == nil {
				t.Error("an answer without an access token is good")
			} else {
				f.inState(t, tt.state)
				if saved := f.saved(t); saved.RefreshToken == before.RefreshToken || saved.AccessToken != before.AccessToken {
					t.Error("the new refresh token is not saved beside the access token that there was")
				}
				f.mustCall(t)
			}
			pass(30 * minute)
			f.inState(t, refresh.StateValid)
			f.mustCall(t)
			if n := len(told.heard()); n != 0 {
				t.Errorf("OnRefreshFail was called %d times", n)
			}
			f.clean(t)
		})
	}
}

// The types are those of tokens that APIs want as Bearer tokens.
func TestTokensOfOddTypesArePresentedAsBearer(t *testing.T) {
	for _, tokenType := range oauthtest.Cases().TokenTypes {
		inBubble(t, tokenType, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{Quirks: oauthtest.Quirks{ExactScheme: true}}).start(t)
			f.server.Script(forEver(oauthtest.Fault{Edit: func(fields map[string]any) { fields["token_type"] = tokenType }}))
			if err := f.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.mustCall(t)
			f.clean(t)
		})
	}
}
