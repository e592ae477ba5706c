package oauthtest

import (
	"fmt"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/audit"
)

// A MistakeKind says what a client did wrong.
type MistakeKind string

const (
	// SpentTwice: a refresh token was sent again although the client had received
	// its successor, or so long after losing the answer that it should have known
	// better.
	SpentTwice = MistakeKind(audit.SpentTwice)
	// SpentAfterRevocation: a refresh token was sent after the client had revoked
	// it, or had been told that it is invalid.
	SpentAfterRevocation = MistakeKind(audit.SpentAfterRevocation)
	// SpentInParallel: a refresh token was sent while another request with it was
	// under way.
	SpentInParallel = MistakeKind(audit.SpentInParallel)
	// TokenInURL: a secret was sent in a query string, where logs keep it.
	TokenInURL = MistakeKind(audit.TokenInURL)
	// AssertionReplayed: a client assertion was sent again, whose jti is for one
	// use (RFC 7523 section 3).
	AssertionReplayed = MistakeKind(audit.AssertionReplayed)
	// BesideRequestURI: a parameter was sent through the browser beside a
	// request_uri, although the whole request had been pushed (RFC 9126 section 4).
	BesideRequestURI = MistakeKind(audit.BesideRequestURI)
	// RequestURIReused: the browser was sent to a request_uri that had led to an
	// answer before (RFC 9126 section 4).
	RequestURIReused = MistakeKind(audit.RequestURIReused)
	// TokenAstray: credentials were sent to an endpoint that is public, by its path.
	TokenAstray = MistakeKind(audit.TokenAstray)
	// ProofReplayed: a DPoP proof was sent a second time.
	ProofReplayed = MistakeKind(audit.ProofReplayed)
	// PresentedBare: an access token that is bound to a key was sent without a
	// proof, or one that is bound to a certificate without any.
	PresentedBare = MistakeKind(audit.PresentedBare)
)

// A Mistake is something that no client should do.
type Mistake struct {
	Kind MistakeKind
	When time.Time
	// TokenHash is the beginning of the refresh token's SHA-256 in hexadecimal, for
	// PresentedBare of the access token's, for AssertionReplayed and ProofReplayed of
	// the jti's; for the kinds about parameters the parameter's name, and for
	// TokenAstray the endpoint.
	TokenHash string
}

// String describes the mistake in one line without any secret.
func (m Mistake) String() string {
	what := "refresh token"
	switch m.Kind {
	case TokenInURL, BesideRequestURI, RequestURIReused:
		what = "parameter"
	case AssertionReplayed:
		what = "client assertion"
	case TokenAstray:
		what = "endpoint"
	case ProofReplayed:
		what = "DPoP proof"
	case PresentedBare:
		what = "access token"
	}
	return fmt.Sprintf("%s: %s %s %s", m.When.Format(time.RFC3339Nano), what, m.TokenHash, m.Kind)
}

// A Spend is one refresh token's arrival at the token endpoint, or a backend's.
type Spend struct {
	TokenHash string    // the beginning of its SHA-256 in hexadecimal
	Arrived   time.Time // when the request came
	Ended     time.Time // when the answer was given or the client left; zero: not yet
	Committed bool      // the server carried the refresh out
	Delivered bool      // the client has received the server's answer
}

// Audit returns the mistakes so far, oldest first; none is the good result.
//
// Not counted is what a client cannot know: a spent refresh token that is sent
// again within 30 seconds (or Config.Grace, if longer) after its answer was lost,
// the first use of a refresh token that the server ended by itself, and one more use
// of a token that was refused, a minute later (a third of the access token's life if
// that is less), to hear whether the server means it.
func (s *Server) Audit() []Mistake {
	var mistakes []Mistake
	for _, m := range s.engine.Audit.Mistakes() {
		mistakes = append(mistakes, Mistake{MistakeKind(m.Kind), m.When, m.TokenHash})
	}
	return mistakes
}

// Spends returns every arrival of a refresh token, in order, with what became of
// it.
func (s *Server) Spends() []Spend {
	arrived := s.engine.Audit.Spends()
	spends := make([]Spend, len(arrived))
	for i, sp := range arrived {
		spends[i] = Spend(sp)
	}
	return spends
}

// AnswerLost tells the auditor that the client which spent refreshToken died
// before it could save the answer, which a server cannot see. Sending the token
// again within the next seconds is then no mistake.
func (s *Server) AnswerLost(refreshToken string) { s.engine.Audit.AnswerLost(refreshToken) }
