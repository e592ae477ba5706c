package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestScopeIsNarrowedForOneToken(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	c := oauth.NewClient(s.OAuthConfig())
	pair := mustLogin(t, s)
	full := pair.Scope
	narrow, err := c.RefreshScope(t.Context(), pair, "openid", "profile")
	if err != nil || narrow.Scope != "openid profile" || narrow.Scope == full || narrow.RefreshToken == pair.RefreshToken {
		t.Fatalf("got %v with scope %q, %v; want a new pair with less than %q", narrow, narrow.Scope, err, full)
	}
	wantWorking(t, s, narrow)

	_, err = c.RefreshScope(t.Context(), narrow, "openid", "more")
	if fail := failure(t, err); !errors.Is(err, oauth.ErrMisconfigured) || fail.Code != "invalid_scope" {
		t.Errorf("more than was agreed to: %v; want invalid_scope", err)
	}
	next, err := c.Refresh(t.Context(), narrow) // which the refusal has not spent
	if err != nil || next.Scope != full {
		t.Errorf("scope %q, %v; want all of %q back", next.Scope, err, full)
	}
	wantNoMistakes(t, s)
}

func TestNarrowedScopeIsTheOneAskedForIfTheAnswerOmitsIt(t *testing.T) {
	w := answering(200, okBody)
	pair, err := over(w).RefreshScope(t.Context(), &oauth.TokenPair{RefreshToken: "r", Scope: "read write"}, "read")
	if err != nil || pair.Scope != "read" || w.requests()[0].form.Get("scope") != "read" {
		t.Errorf("got scope %q, %v; want read", pair.Scope, err)
	}
}

func TestNarrowingNeedsNames(t *testing.T) {
	w := answering(200, okBody)
	for _, scopes := range [][]string{nil, {""}, {"a", "b c"}, {`a"`}, {`\`}, {"a\n"}} {
		_, err := over(w).RefreshScope(t.Context(), &oauth.TokenPair{RefreshToken: "r"}, scopes...)
		if !errors.Is(err, oauth.ErrMisconfigured) || len(w.requests()) != 0 {
			t.Errorf("%q: %v and %d requests; want ErrMisconfigured and none", scopes, err, len(w.requests()))
		}
	}
}

func ExampleClient_RefreshScope() {
	server := oauthtest.New(oauthtest.Config{})
	client := oauth.NewClient(server.OAuthConfig())
	tokens, err := server.Login("alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	// For a helper program that needs to know who the person is, and no more.
	tokens, err = client.RefreshScope(context.Background(), tokens, "openid")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tokens.Scope)
	// Output: openid
}
