package oauthtest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestRefreshRotates(t *testing.T) {
	for name, cfg := range map[string]oauthtest.Config{"opaque": {}, "jwt": {JWTRefreshTokens: true}} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(cfg)
			access, first := login(t, s)
			r := refresh(t.Context(), s, first).wantOK(t)
			second := r.text(t, "refresh_token")
			if second == "" || second == first {
				t.Errorf("refresh token %q after %q; want another", second, first)
			}
			if got := r.field(t, "expires_in"); got != 900.0 {
				t.Errorf("expires_in = %v; want 900", got)
			}
			if got := r.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control %q; RFC 6749 section 5.1 wants no-store", got)
			}
			for _, token := range []string{access, r.text(t, "access_token")} {
				if got := resourceStatus(t, s, token); got != http.StatusOK {
					t.Errorf("resource: HTTP %d; want 200", got)
				}
			}
			refresh(t.Context(), s, second).wantOK(t)
			if n := s.Refreshes(); n != 2 {
				t.Errorf("Refreshes() = %d; want 2", n)
			}
			wantMistakes(t, s)
		})
	}
}

func TestReuseEndsAllSessionsOfTheUser(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Users: map[string]string{"alice": "a", "bob": "b"}})
	_, first := login(t, s)
	otherAccess, other := login(t, s)
	bob, err := s.Login("bob")
	if err != nil {
		t.Fatal(err)
	}
	r := refresh(t.Context(), s, first).wantOK(t)
	refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")

	for name, token := range map[string]string{"successor": r.text(t, "refresh_token"), "other session": other} {
		if got := refresh(t.Context(), s, token); got.status != 400 {
			t.Errorf("%s: HTTP %d after reuse; want 400", name, got.status)
		}
	}
	for name, token := range map[string]string{"new access": r.text(t, "access_token"), "other access": otherAccess} {
		if got := resourceStatus(t, s, token); got != 401 {
			t.Errorf("%s: HTTP %d after reuse; want 401", name, got)
		}
	}
	refresh(t.Context(), s, bob.RefreshToken).wantOK(t)
	wantMistakes(t, s, oauthtest.SpentTwice)
}

func TestNoReuseDetectionKeepsTheSession(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{NoReuseDetection: true})
	_, first := login(t, s)
	second := refresh(t.Context(), s, first).wantOK(t).text(t, "refresh_token")
	refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")
	refresh(t.Context(), s, second).wantOK(t)
	wantMistakes(t, s, oauthtest.SpentTwice)
}

func TestNoRotationOmitsTheRefreshToken(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{NoRotation: true})
	_, token := login(t, s)
	for range 3 {
		if got := refresh(t.Context(), s, token).wantOK(t).field(t, "refresh_token"); got != nil {
			t.Errorf("refresh_token = %v; want none", got)
		}
	}
	wantMistakes(t, s)
}

func TestGraceGivesTheSameSuccessor(t *testing.T) {
	for name, jwt := range map[string]bool{"opaque": false, "jwt": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := oauthtest.New(oauthtest.Config{Grace: 10 * time.Second, JWTRefreshTokens: jwt})
				_, first := login(t, s)
				a := refresh(t.Context(), s, first).wantOK(t)
				time.Sleep(10 * time.Second)
				b := refresh(t.Context(), s, first).wantOK(t)
				if a.text(t, "refresh_token") != b.text(t, "refresh_token") {
					t.Error("a replay inside the grace window got another successor")
				}
				if a.text(t, "access_token") == b.text(t, "access_token") {
					t.Error("a replay inside the grace window got the same access token")
				}
				refresh(t.Context(), s, b.text(t, "refresh_token")).wantOK(t)
			})
		})
	}
}

func TestGraceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{Grace: 10 * time.Second})
		_, first := login(t, s)
		refresh(t.Context(), s, first).wantOK(t)
		time.Sleep(10*time.Second + time.Millisecond)
		refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")
		if n := s.Sessions("alice"); n != 0 {
			t.Errorf("%d sessions after reuse; want 0", n)
		}
	})
}

func TestGraceEndsWhenTheSuccessorIsUsed(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Grace: time.Hour})
	_, first := login(t, s)
	second := refresh(t.Context(), s, first).wantOK(t).text(t, "refresh_token")
	refresh(t.Context(), s, second).wantOK(t)
	refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")
}

func TestF2_OfForkedSuccessorsOnlyTheNewestLives(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Grace: 10 * time.Second, ForkSuccessors: true})
	_, first := login(t, s)
	a := refresh(t.Context(), s, first).wantOK(t).text(t, "refresh_token")
	b := refresh(t.Context(), s, first).wantOK(t).text(t, "refresh_token")
	if a == b {
		t.Fatal("the successors are the same; want a fork")
	}
	refresh(t.Context(), s, a).wantError(t, 400, "invalid_grant")
	refresh(t.Context(), s, b).wantOK(t)
}

func TestRefreshTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{RefreshTokenLifetime: time.Hour, AnnounceRefreshLifetime: true})
		_, first := login(t, s)
		time.Sleep(time.Hour - time.Second)
		r := refresh(t.Context(), s, first).wantOK(t)
		if got := r.field(t, "refresh_token_expires_in"); got != 3600.0 {
			t.Errorf("refresh_token_expires_in = %v; want 3600", got)
		}
		time.Sleep(time.Hour)
		refresh(t.Context(), s, r.text(t, "refresh_token")).wantError(t, 400, "invalid_grant")
		wantMistakes(t, s)
	})
}

func TestAccessTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(300 * time.Millisecond) // off the whole second, where rounding shows
		s := oauthtest.New(oauthtest.Config{AccessTokenLifetime: 20 * time.Second})
		access, _ := login(t, s)
		if exp, end := claimsOf(t, access)["exp"].(float64), time.Now().Add(20*time.Second); int64(exp) != end.Unix()+1 {
			t.Errorf("exp = %v; want the whole second after %v, so that the token lives as long as announced", exp, end.Unix())
		}
		time.Sleep(20*time.Second - time.Millisecond)
		if got := resourceStatus(t, s, access); got != 200 {
			t.Errorf("HTTP %d within the announced life; want 200", got)
		}
		time.Sleep(time.Millisecond)
		if got := resourceStatus(t, s, access); got != 401 {
			t.Errorf("HTTP %d at the end of life; want 401", got)
		}
	})
}

func TestRefreshCanRevokeTheOldAccessToken(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{RevokeOldAccess: true})
	access, token := login(t, s)
	r := refresh(t.Context(), s, token).wantOK(t)
	if got := resourceStatus(t, s, access); got != 401 {
		t.Errorf("old access token: HTTP %d; want 401", got)
	}
	if got := resourceStatus(t, s, r.text(t, "access_token")); got != 200 {
		t.Errorf("new access token: HTTP %d; want 200", got)
	}
}

func TestServerEndsThings(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	access, token := login(t, s)
	s.ExpireAccess("alice")
	if got := resourceStatus(t, s, access); got != 401 {
		t.Errorf("after ExpireAccess: HTTP %d; want 401", got)
	}
	r := refresh(t.Context(), s, token).wantOK(t)
	s.RevokeAll("alice")
	if got := resourceStatus(t, s, r.text(t, "access_token")); got != 401 {
		t.Errorf("after RevokeAll: HTTP %d; want 401", got)
	}
	refresh(t.Context(), s, r.text(t, "refresh_token")).wantError(t, 400, "invalid_grant")
	wantMistakes(t, s)
	s.EndUser("alice")
	if _, err := s.Login("alice"); err == nil {
		t.Error("Login after EndUser succeeded")
	}
}

func TestSingleSessionEndsTheEarlierLogin(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{SingleSession: true})
	_, first := login(t, s)
	_, second := login(t, s)
	refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")
	refresh(t.Context(), s, second).wantOK(t)
}

func TestOfflineScopeIsNeededForARefreshToken(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{OfflineScope: true})
	token := s.Endpoint(oauthtest.TokenEndpoint)
	for scope, want := range map[string]bool{"profile": false, "profile offline_access": true} {
		r := post(t.Context(), s.Client(), token, form("grant_type", "password", "username", "alice", "password", "wonderland", "scope", scope)).wantOK(t)
		if got := r.text(t, "refresh_token") != ""; got != want {
			t.Errorf("scope %q: refresh token given: %v; want %v", scope, got, want)
		}
	}
}

func TestRefreshScope(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{DefaultScope: "read write"})
	_, token := login(t, s)
	ask := func(scope string) result {
		return post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint),
			form("grant_type", "refresh_token", "refresh_token", token, "scope", scope))
	}
	ask("read admin").wantError(t, 400, "invalid_scope")
	r := ask("read").wantOK(t)
	if got := r.text(t, "scope"); got != "read" {
		t.Errorf("scope = %q; want read", got)
	}
	r = refresh(t.Context(), s, r.text(t, "refresh_token")).wantOK(t)
	if got := r.text(t, "scope"); got != "read write" {
		t.Errorf("scope = %q; the refresh token keeps the whole scope (RFC 6749 section 6)", got)
	}
}

func TestF44_ScopeShrinksOnRefresh(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{ReduceScope: "profile", ResourceScope: "offline_access"})
	access, token := login(t, s)
	if got := resourceStatus(t, s, access); got != 200 {
		t.Errorf("with the scope: HTTP %d; want 200", got)
	}
	r := refresh(t.Context(), s, token).wantOK(t)
	if got := r.text(t, "scope"); got != "profile" {
		t.Errorf("scope = %q; want profile", got)
	}
	res := get(t.Context(), s.Client(), s.Resource(), r.text(t, "access_token"))
	if res.status != 403 || !strings.Contains(res.header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
		t.Errorf("without the scope: HTTP %d, %q; want 403 insufficient_scope", res.status, res.header.Get("WWW-Authenticate"))
	}
}

func TestRefreshTokenOfAnotherClientIsRefused(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Clients: []oauthtest.RegisteredClient{{ID: "other"}}})
	_, token := login(t, s)
	f := form("grant_type", "refresh_token", "refresh_token", token)
	f.Set("client_id", "other")
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), f).wantError(t, 400, "invalid_grant")
	next := refresh(t.Context(), s, token).wantOK(t).text(t, "refresh_token")
	// Nor can another client end the session with a spent one.
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint), f).wantError(t, 400, "invalid_grant")
	refresh(t.Context(), s, next).wantOK(t)
}

func TestConcurrentRefreshesOfOneTokenRotateOnce(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Grace: time.Minute})
	_, token := login(t, s)
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		got = map[string]int{}
	)
	for range 20 {
		wg.Go(func() {
			r := refresh(t.Context(), s, token)
			mu.Lock()
			defer mu.Unlock()
			if r.status == 200 {
				got[r.body[strings.Index(r.body, `"refresh_token"`):]]++
			}
		})
	}
	wg.Wait()
	if len(got) != 1 {
		t.Errorf("20 refreshes at once gave %d different successors; want 1", len(got))
	}
}

func TestConcurrentRefreshesWithoutGraceHaveOneWinner(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{NoReuseDetection: true})
	_, token := login(t, s)
	var wg sync.WaitGroup
	status := make(chan int, 20)
	for range 20 {
		wg.Go(func() { status <- refresh(t.Context(), s, token).status })
	}
	wg.Wait()
	close(status)
	won := 0
	for code := range status {
		if code == 200 {
			won++
		}
	}
	if won != 1 || s.Refreshes() != 1 {
		t.Errorf("%d of 20 refreshes won (%d carried out); want 1", won, s.Refreshes())
	}
}

// slowStore lets other work happen between the server's calls.
type slowStore struct {
	refreshtokens.Memory
	during func()
	fail   error
}

func (s *slowStore) Set(ctx context.Context, token string, data any, expiry time.Time) error {
	if s.during != nil {
		s.during()
	}
	if s.fail != nil {
		return s.fail
	}
	return s.Memory.Set(ctx, token, data, expiry)
}

func TestASessionThatEndsWhileItIsRefreshedStaysEnded(t *testing.T) {
	store := &slowStore{}
	s := oauthtest.New(oauthtest.Config{RefreshTokens: store})
	_, token := login(t, s)
	store.during = func() { s.RevokeAll("alice") }
	refresh(t.Context(), s, token).wantError(t, 400, "invalid_grant")
	if n, err := store.Count(t.Context()); n != 0 || err != nil {
		t.Errorf("%d refresh tokens are left (%v); want 0", n, err)
	}
}

func TestAStoreThatFailsIsAServerError(t *testing.T) {
	store := &slowStore{}
	s := oauthtest.New(oauthtest.Config{RefreshTokens: store})
	_, token := login(t, s)
	store.fail = errors.New("disk secret-path full")
	r := refresh(t.Context(), s, token)
	r.wantError(t, 500, "server_error")
	if strings.Contains(r.body, "secret-path") {
		t.Error("the answer shows the store's error")
	}
	store.fail = nil
	refresh(t.Context(), s, token).wantOK(t)
	wantMistakes(t, s)
}

// lazyStore takes a second for Get, and cannot delete.
type lazyStore struct{ refreshtokens.Memory }

func (s *lazyStore) Get(ctx context.Context, token string) (any, error) {
	data, err := s.Memory.Get(ctx, token)
	time.Sleep(time.Second)
	return data, err
}

func (s *lazyStore) Delete(context.Context, string) error { return nil }

func TestOfTwoAtOnceOneWaitsForTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{RefreshTokens: &lazyStore{}, NoReuseDetection: true})
		_, token := login(t, s)
		go refresh(t.Context(), s, token)
		refresh(t.Context(), s, token)
		synctest.Wait()
		if n := s.Refreshes(); n != 1 {
			t.Errorf("%d refreshes of one token; want 1", n)
		}
	})
}

func TestAReplayWaitsForTheSuccessorsRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{RefreshTokens: &lazyStore{}, Grace: time.Minute, ForkSuccessors: true})
		_, first := login(t, s)
		second := refresh(t.Context(), s, first).wantOK(t).text(t, "refresh_token")
		go refresh(t.Context(), s, second)
		time.Sleep(time.Millisecond)
		refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant") // its successor is being used
	})
}

func TestEndedSessionsStayEndedInAStoreThatKeepsTokens(t *testing.T) {
	for _, noRotation := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := oauthtest.New(oauthtest.Config{RefreshTokens: &lazyStore{}, NoRotation: noRotation})
			_, token := login(t, s)
			s.RevokeAll("alice")
			refresh(t.Context(), s, token).wantError(t, 400, "invalid_grant")
		})
	}
}

func TestASpentTokenOfAnEndedSessionDoesNothing(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Hour} {
		s := oauthtest.New(oauthtest.Config{Grace: grace})
		_, first := login(t, s)
		refresh(t.Context(), s, first).wantOK(t)
		s.RevokeAll("alice")
		_, later := login(t, s)
		refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")
		refresh(t.Context(), s, later).wantOK(t)
	}
}

func TestAForkDoesNotProlongTheGraceWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{Grace: 10 * time.Second, ForkSuccessors: true})
		_, first := login(t, s)
		refresh(t.Context(), s, first).wantOK(t)
		time.Sleep(8 * time.Second)
		refresh(t.Context(), s, first).wantOK(t)
		time.Sleep(8 * time.Second)
		refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")
	})
}

func TestWithoutGraceTheSameInstantIsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{})
		_, first := login(t, s)
		refresh(t.Context(), s, first).wantOK(t)
		refresh(t.Context(), s, first).wantError(t, 400, "invalid_grant")
	})
}
