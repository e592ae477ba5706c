package conformance

import (
	"errors"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// playReuse lets somebody with a copy of a spent refresh token spend it again.
func playReuse(t *testing.T, p product, s *authServer) string {
	store, stolen := newStore(t), s.login(t, nil)
	k := s.keep(t, store, stolen, nil)
	k.refresh()
	_, err := s.renewer(t, nil).Refresh(t.Context(), stolen)
	if accepted := err == nil; accepted != p.keepsRefreshToken {
		t.Errorf("the server answers the thief with error %v", err)
	}
	switch {
	case p.reuseEndsSession:
		k.ends(store)
		return "ends the session"
	case p.keepsRefreshToken:
		k.refresh()
		k.well()
		return "is accepted"
	}
	k.refresh()
	k.well()
	return "is refused, the session lives"
}

// same reports whether two pairs are from one answer.
func (p product) same(a, b *oauth.TokenPair) bool {
	if p.coarse {
		return a.RefreshToken == b.RefreshToken
	}
	return a.AccessToken == b.AccessToken
}

// playRefused is an outage.
func playRefused(t *testing.T, p product, s *authServer) string {
	k := s.keep(t, newStore(t), s.login(t, nil), nil)
	last := k.refresh()
	s.refuse()
	func() {
		defer s.admitAgain()
		if err := k.ForceRefresh(t.Context()); !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("a refresh says %v, want an error that matches ErrTransient", err)
		}
		pair, err := k.TokenContext(t.Context())
		if err != nil || pair.AccessToken != last.AccessToken {
			t.Errorf("a caller does not get the token that still lives (error %v)", err)
		}
	}()
	k.await(refresh.EventRefreshFailed)
	if p.same(k.refresh(), last) {
		t.Error("the pair is the one from before the outage")
	}
	k.well()
	return cellOK
}

// playAnswerLost has the server spend a refresh token of which the answer never
// arrives. None of these servers has a grace period: with rotation, what is lost
// is lost, and asking once more is what the server calls theft.
func playAnswerLost(t *testing.T, p product, s *authServer) string {
	store := newStore(t)
	k := s.keep(t, store, s.login(t, nil), nil)
	k.refresh()
	lost := s.loseAnswer()
	if p.keepsRefreshToken {
		k.refresh()
		k.well()
	} else {
		k.ends(store)
	}
	select {
	case <-lost:
	default:
		t.Error("no answer was lost")
	}
	if p.keepsRefreshToken {
		return cellOK
	}
	return "ends the session"
}

// playKilled kills the server when it has got a refresh request and has not looked
// at it.
func playKilled(t *testing.T, p product, s *authServer) string {
	k := s.keep(t, newStore(t), s.login(t, nil), nil)
	last := k.refresh()
	s.stall()
	sent := s.nextRequest()
	done := make(chan error, 1)
	go func() { done <- k.ForceRefresh(t.Context()) }()
	select {
	case <-sent:
	case <-time.After(stepLimit):
		t.Fatal("no refresh was sent")
	}
	s.die()
	k.await(refresh.EventRefreshFailed)
	s.run()
	if err := <-done; err != nil {
		// It went on for as long as it could, and the manager goes on.
		if !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("a refresh says %v, want an error that matches ErrTransient", err)
		}
		k.refresh()
	}
	if p.same(k.GetTokens(), last) {
		t.Error("the pair is the one from before the server died")
	}
	k.well()
	return cellOK
}
