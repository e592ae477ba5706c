package conformance

import (
	"errors"
	"testing"

	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

func playLogin(t *testing.T, _ product, s *authServer) string {
	pair := s.login(t, nil)
	if !s.opens(t, pair.AccessToken) {
		t.Error("the API does not take the token of the login")
	}
	if s.opens(t, pair.AccessToken+"x") {
		t.Error("the API takes any token")
	}
	return cellOK
}

func playDeviceLogin(t *testing.T, _ product, s *authServer) string {
	c := s.client(t, nil)
	code, err := c.DeviceAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.allowDevice(newVisitor(t), code)
	pair, err := c.DeviceToken(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	k := s.keep(t, newStore(t), pair, nil)
	k.refresh()
	k.well()
	return cellOK
}

func playLogout(t *testing.T, _ product, s *authServer) string {
	store := newStore(t)
	k := s.keep(t, store, s.login(t, nil), nil)
	last := k.refresh()
	if err := k.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.await(refresh.EventLoggedOut)
	if _, err := store.Get(t.Context(), "default"); !errors.Is(err, tokenstore.ErrNotFound) {
		t.Errorf("after the logout the store says %v, want ErrNotFound", err)
	}
	if _, err := s.renewer(t, nil).Refresh(t.Context(), last); err == nil {
		t.Error("the session lives on at the server")
	}
	return cellOK
}

// playRevokedElsewhere ends the session at the server, as a person does who looks
// through the list of programs there.
func playRevokedElsewhere(t *testing.T, _ product, s *authServer) string {
	store := newStore(t)
	k := s.keep(t, store, s.login(t, nil), nil)
	last := k.refresh()
	if err := s.renewer(t, nil).Revoke(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	k.ends(store)
	return cellOK
}
