package conformance

import (
	"sync"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

func playThreeRefreshes(t *testing.T, p product, s *authServer) string {
	s.keep(t, newStore(t), s.login(t, nil), nil).refreshThrice(p)
	if p.keepsRefreshToken {
		return "keeps the refresh token"
	}
	return "rotates"
}

// refreshThrice refreshes as often as shows what becomes of the tokens.
func (k *keeper) refreshThrice(p product) {
	k.t.Helper()
	pair := k.GetTokens()
	access, renewing := map[string]bool{pair.AccessToken: true}, map[string]bool{pair.RefreshToken: true}
	for range 3 {
		pair := k.refresh()
		access[pair.AccessToken], renewing[pair.RefreshToken] = true, true
	}
	k.well()
	want := 4
	if p.keepsRefreshToken {
		want = 1
	}
	if len(renewing) != want {
		k.t.Errorf("a login and three refreshes gave %d refresh tokens, want %d", len(renewing), want)
	}
	if len(access) != 4 && !p.coarse {
		k.t.Errorf("a login and three refreshes gave %d access tokens, want 4", len(access))
	}
}

// playOldAccessToken looks what a refresh does to requests on their way.
func playOldAccessToken(t *testing.T, p product, s *authServer) string {
	old := s.login(t, nil)
	k := s.keep(t, newStore(t), old, nil)
	k.refresh()
	k.well()
	if lives := s.opens(t, old.AccessToken); lives != p.oldTokenLives {
		t.Errorf("that the access token before the refresh lives is %t, want %t", lives, p.oldTokenLives)
	}
	if p.oldTokenLives {
		return "lives"
	}
	return "dies"
}

func playRenewsByItself(t *testing.T, _ product, s *authServer) string {
	pair := s.login(t, nil)
	k := s.keep(t, newStore(t), pair, nil)
	for range 2 {
		k.await(refresh.EventRefreshed)
	}
	if took := time.Since(pair.IssuedAt); took < time.Duration(pair.ExpiresIn)*time.Second {
		t.Errorf("two refreshes took %v: more than one in half a life", took)
	}
	k.well()
	return cellOK
}

// playRestart stops the program. Another one has nothing but the directory.
func playRestart(t *testing.T, _ product, s *authServer) string {
	dir := t.TempDir()
	first := s.keep(t, openStore(t, dir), s.login(t, nil), nil)
	last := first.refresh()
	first.Stop()

	second := s.keep(t, openStore(t, dir), nil, nil)
	if second.GetTokens().AccessToken != last.AccessToken {
		t.Error("the second program did not begin where the first one ended")
	}
	second.refresh()
	second.well()
	return cellOK
}

// playTwoManagers has two programs refresh one session at once.
func playTwoManagers(t *testing.T, _ product, s *authServer) string {
	dir := t.TempDir()
	one := s.keep(t, openStore(t, dir), s.login(t, nil), nil)
	other := s.keep(t, openStore(t, dir), nil, nil)
	for range 3 {
		var both sync.WaitGroup
		for _, k := range []*keeper{one, other} {
			both.Go(func() {
				if err := k.ForceRefresh(t.Context()); err != nil {
					t.Errorf("refresh: %v", err)
				}
			})
		}
		both.Wait()
	}
	one.refresh()
	other.refresh()
	other.well()
	return cellOK
}

func playClockAhead(t *testing.T, _ product, s *authServer) string {
	return playSkew(t, s, time.Hour, nil)
}

func playClockBehind(t *testing.T, _ product, s *authServer) string {
	return playSkew(t, s, -time.Hour, nil)
}

// playSkew runs everything by a clock that is ahead. Tokens live shorter than it
// is wrong. edit may be nil.
func playSkew(t *testing.T, s *authServer, ahead time.Duration, edit func(*oauth.Config)) string {
	wrong := newWrongClock(ahead)
	tell := func(cfg *oauth.Config) {
		cfg.Now = wrong.Now
		if edit != nil {
			edit(cfg)
		}
	}
	k := s.keep(t, newStore(t), s.login(t, tell), func(cfg *refresh.Config) {
		cfg.OAuthClient, cfg.Clock = s.renewer(t, tell), wrong
	})
	k.await(refresh.EventChecked)
	if last := k.GetLastRefreshAt(); !last.IsZero() {
		t.Errorf("a token that was new has been refreshed, at %v", last)
	}
	k.refresh()
	k.well()
	st := k.GetRefreshStatus()
	if left := st.TimeUntilExpiry; left > defaultLife*time.Second || left < (defaultLife-60)*time.Second {
		t.Errorf("a new token has %v left, want about %d s", left, defaultLife)
	}
	if off := (st.ClockSkew - ahead).Abs(); off > time.Minute { // answers take their time on a busy machine
		t.Errorf("the clock is said to be %v ahead, want %v", st.ClockSkew, ahead)
	}
	return cellOK
}
