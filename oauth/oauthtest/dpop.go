package oauthtest

import (
	"context"
	"net/http"
	"strings"
)

// What proofs are made for; see checkProof.
const (
	roleToken    = "token"
	roleResource = "resource"
)

type thumbprintKey struct{}

// thumbprintIn returns the thumbprint of the key that a token request has proved,
// or "".
func thumbprintIn(ctx context.Context) string {
	thumbprint, _ := ctx.Value(thumbprintKey{}).(string)
	return thumbprint
}

// serveTokenDPoP is the token endpoint for clients with and without DPoP (RFC
// 9449 section 5).
func (s *Server) serveTokenDPoP(r *http.Request) *answer {
	if r.Header.Get("DPoP") == "" {
		if s.cfg.RequireDPoP {
			return badRequest("invalid_dpop_proof", "the DPoP header is missing")
		}
		return s.serveToken(r)
	}
	p, code, description := s.checkProof(r, roleToken)
	if p == nil {
		return s.told(badRequest(code, description), roleToken)
	}
	ctx := context.WithValue(r.Context(), thumbprintKey{}, p.thumbprint)
	return s.told(s.serveToken(r.WithContext(ctx)), roleToken)
}

// told adds what a client with DPoP heeds: the nonce, in good answers and bad
// (section 8), and the server's time.
func (s *Server) told(a *answer, role string) *answer {
	if s.cfg.DPoPNonceLifetime > 0 {
		a.header.Set("DPoP-Nonce", s.nonce(role))
	}
	a.header.Set("Date", s.now().UTC().Format(http.TimeFormat))
	return a
}

// mayRefresh reports whether a session's refresh token comes from whom it was
// given to: a public client has to prove the key it logged in with (section 5).
// One that a login without DPoP gave is not bound, also later.
func mayRefresh(r *http.Request, c RegisteredClient, se *session) bool {
	return c.Secret != "" || se.JKT == "" || se.JKT == thumbprintIn(r.Context())
}

// bind binds the new access token in fields to the key and the certificate of the
// token request, if it showed them.
func bind(ctx context.Context, fields map[string]any, claims *accessClaims) {
	c := confirmation{JKT: thumbprintIn(ctx), Certificate: certificateIn(ctx)}
	if c.JKT != "" {
		fields["token_type"] = "DPoP"
	}
	if c != (confirmation{}) {
		claims.Confirmation = &c
	}
}

// A confirmation is what RFC 9449 section 6.1 and RFC 8705 section 3.1 add to a
// bound access token.
type confirmation struct {
	JKT         string `json:"jkt,omitempty"`
	Certificate string `json:"x5t#S256,omitempty"`
}

// checkBinding refuses a living access token that is not presented as it has to
// be (RFC 9449 section 7), or returns nil.
func (s *Server) checkBinding(r *http.Request, token string, claims *accessClaims) *answer {
	const status = http.StatusUnauthorized
	bound := claims.Confirmation != nil && claims.Confirmation.JKT != ""
	switch proving := usesDPoP(r); {
	case bound != proving:
		if bound {
			s.audit.note(PresentedBare, hashOf(token)[:12])
		}
		return s.challenge(status, "invalid_token", "The access token was issued for another scheme", "")
	case !bound:
		return nil
	}
	p, code, description := s.checkProof(r, roleResource)
	switch {
	case p == nil:
		return s.challenge(status, code, description, "")
	case p.TokenHash != challengeOf(token):
		return s.challenge(status, "invalid_dpop_proof", "ath is not the hash of the access token", "")
	case p.thumbprint != claims.Confirmation.JKT:
		return s.challenge(status, "invalid_token", "The access token is bound to another key", "")
	}
	return nil
}

func usesDPoP(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "DPoP")
}

// protected serves an endpoint that wants an access token, and answers those who
// present a bound one in their own scheme (RFC 9449 sections 7.1, 9).
func (s *Server) protected(serve func(*http.Request) *answer) func(*http.Request) *answer {
	return func(r *http.Request) *answer {
		a := serve(r)
		if !usesDPoP(r) {
			return a
		}
		if params, refused := strings.CutPrefix(a.header.Get("WWW-Authenticate"), "Bearer "); refused {
			a.header.Set("WWW-Authenticate", "DPoP "+params+`, algs="ES256"`)
		}
		return s.told(a, roleResource)
	}
}
