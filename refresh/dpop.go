package refresh

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/evertoken/evertoken/internal/dpop"
	"github.com/evertoken/evertoken/internal/drain"
	"github.com/evertoken/evertoken/internal/origin"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
)

// presentOther sends req with a token that is not a Bearer token: bound to a key
// (RFC 9449 section 7), or of a type that the Transport cannot present.
//
// A proof that the API refuses for the lack of a nonce, or for a clock that turns
// out to be wrong, is made anew and the request sent once more, if its body can be
// rewound. The token is as good as before, so it is not refreshed.
func (t *Transport) presentOther(req *http.Request, s *snapshot.Snapshot) (*http.Response, error) {
	if s.Pair.Type() != "DPoP" || s.Pair.DPoPKey.IsZero() {
		closeBody(req)
		return nil, cannotPresent(s.Pair)
	}
	server := origin.Of(req.URL).String()
	hints := t.m.setup().proofs.Recall(server)
	if !hints.Clocked {
		hints.Skew = s.Pair.Skew
	}
	for again := false; ; again = true {
		proven, err := t.m.withProof(req, s, hints)
		if err != nil {
			closeBody(req)
			return nil, err
		}
		resp, err := t.carrier().RoundTrip(proven)
		if err != nil {
			return nil, err
		}
		sent := hints
		hints = t.m.setup().proofs.Learn(server, resp.Header, t.m.setup().Clock.Now())
		if again || !dpop.Again(proofError(resp), sent, hints) {
			return resp, nil
		}
		rewound, ok := rewind(req)
		if !ok {
			return resp, nil
		}
		drain.Response(resp)
		req = rewound
	}
}

// withProof returns a copy of req that carries the token and a proof. It counts
// time from the wall clock, by the server's if that is known. The proof is for the URL that
// the token is allowed for: a Host header must not make it good at another server.
func (m *Manager) withProof(req *http.Request, s *snapshot.Snapshot, hints dpop.Hints) (*http.Request, error) {
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	proof, err := s.Pair.DPoPKey.Proof(method, req.URL, s.Pair.AccessToken, hints.Nonce, m.setup().Clock.Now().Add(-hints.Skew))
	if err != nil {
		return nil, fmt.Errorf("refresh: making a DPoP proof: %w: %w", oauth.ErrMisconfigured, err)
	}
	proven := withToken(req, s)
	proven.Header.Set("DPoP", proof)
	return proven, nil
}

// proofError returns the error code of a refusal that is about the proof, or "":
// a nonce alone in an answer does not ask for the request again.
func proofError(resp *http.Response) string {
	if resp.StatusCode != http.StatusUnauthorized {
		return ""
	}
	code := challenge.Params(resp.Header, "DPoP")["error"]
	if strings.EqualFold(code, "use_dpop_nonce") || strings.EqualFold(code, "invalid_dpop_proof") {
		return code
	}
	return ""
}

// cannotPresent is the error for a token that is not sent at all: without its
// proof an API would refuse it, and others could read it.
func cannotPresent(pair *oauth.TokenPair) error {
	if pair.Type() == "DPoP" {
		return fmt.Errorf("refresh: cannot present a DPoP token without its key: %w", oauth.ErrMisconfigured)
	}
	return fmt.Errorf("refresh: cannot present a token of type %q: %w", pair.Type(), oauth.ErrMisconfigured)
}

var errDPoPGRPC = errors.New("refresh: a DPoP token needs a proof for each request, which gRPC credentials cannot make; use Bearer tokens")
