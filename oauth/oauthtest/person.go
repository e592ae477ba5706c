package oauthtest

import (
	"context"

	"github.com/evertoken/evertoken/internal/authserver/person"
)

// Allow does what a person does who signs in as user and allows the access: it
// opens authURL, an authorization request to this server, fills in the real
// forms without a socket, and returns where the browser is sent, which is the
// client's redirect URI with code and state. The caller delivers it:
//
//	cfg.OpenBrowser = func(ctx context.Context, authURL string) error {
//		location, err := s.Allow(ctx, authURL, "alice")
//		…
//		resp, err := http.Get(location)
//
// It fails for a user that the server does not know, and if the server shows a
// page that leads nowhere.
func (s *Server) Allow(ctx context.Context, authURL, user string) (location string, err error) {
	return s.person(ctx, user).Authorize(authURL, person.Allow)
}

// Deny is Allow for a person who says no; location then carries the error.
func (s *Server) Deny(ctx context.Context, authURL, user string) (location string, err error) {
	return s.person(ctx, user).Authorize(authURL, person.Deny)
}

// AllowDevice does what a person does who signs in as user, enters userCode on
// the device page (RFC 8628 section 3.3), and allows the access.
func (s *Server) AllowDevice(ctx context.Context, userCode, user string) error {
	return s.person(ctx, user).Device(s.Endpoint(DeviceEndpoint), userCode, person.Allow)
}

// DenyDevice is AllowDevice for a person who says no.
func (s *Server) DenyDevice(ctx context.Context, userCode, user string) error {
	return s.person(ctx, user).Device(s.Endpoint(DeviceEndpoint), userCode, person.Deny)
}

func (s *Server) person(ctx context.Context, user string) *person.Person {
	return person.New(ctx, direct{s}, s.URL, user, s.engine.Users.Password)
}
