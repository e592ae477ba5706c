package oauth

import (
	"errors"
	"net/url"

	"github.com/evertoken/evertoken/oauth/internal/wire"
	"golang.org/x/oauth2"
)

var errNeedsPKCE = wire.Wrong("DisablePKCE", "is for clients that authenticate: without PKCE, an attacker can redeem a public client's stolen code")

// checkPKCE refuses to leave PKCE out of a public client's login (RFC 9700 section
// 2.1.1).
func (c *Client) checkPKCE() error {
	if c.cfg.DisablePKCE && c.auth.isPublic() {
		return errNeedsPKCE
	}
	return nil
}

// addChallenge makes the verifier of a request, and adds its challenge to the query
// (RFC 7636 sections 4.1 and 4.3), unless that is turned off.
func (c *Client) addChallenge(query url.Values, req *LoginRequest) {
	if c.cfg.DisablePKCE {
		return
	}
	req.Verifier = oauth2.GenerateVerifier()
	query.Set("code_challenge", oauth2.S256ChallengeFromVerifier(req.Verifier))
	query.Set("code_challenge_method", "S256")
}

const hintPKCE = "if nothing is wrong there, the server may refuse PKCE from clients that authenticate: then set Config.DisablePKCE"

// suspectPKCE adds to a refused exchange that the verifier may be why. Servers that
// do not expect one say so in the words for a client that they do not know, or for a
// request with a mistake in it.
func (c *Client) suspectPKCE(err error, req *LoginRequest) error {
	fail, ok := errors.AsType[*Error](err)
	if !ok || req.Verifier == "" || c.auth.isPublic() || errors.Is(fail, ErrClientSecretExpired) {
		return err
	}
	word := wire.CodeWord(fail.Code)
	if word != "invalid_request" && word != "invalid_client" && (word != "" || fail.Verdict() != VerdictClient) {
		return err
	}
	if fail.Hint == "" {
		fail.Hint = "check Config.RedirectURL"
	}
	fail.Field = "DisablePKCE" // the one that a program would not look at by itself
	fail.Hint += "; " + hintPKCE
	return fail
}
