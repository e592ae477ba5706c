package oauth

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/metadata"
)

// idClaims are the claims of an ID token that are checked (OpenID Connect Core
// sections 2 and 3.1.3.6). Others may be of whatever type.
type idClaims struct {
	issuer, subject  string
	audience         []string
	expires, issued  time.Time
	nonce            string
	authorizedParty  string
	accessTokenHash  string
	tenant           string // Entra's tid
	signingAlgorithm string
}

// readIDToken reads the claims without checking the signature: the token came
// from the token endpoint over TLS, which OpenID Connect Core section 3.1.3.7
// item 6 accepts in its place. So the algorithm may be one that this package
// does not know.
func readIDToken(token string) (idClaims, bool) {
	header, claims := member.JWT(token)
	alg := header.Text("alg")
	if alg == "" || claims == nil {
		return idClaims{}, false
	}
	return idClaims{
		issuer: claims.Text("iss"), subject: claims.Name("sub"), audience: claims.Names("aud"),
		expires: claims.Unix("exp"), issued: claims.Unix("iat"),
		nonce: claims.Text("nonce"), authorizedParty: claims.Name("azp"),
		accessTokenHash: claims.Text("at_hash"), tenant: claims.Text("tid"), signingAlgorithm: alg,
	}, true
}

// An idExpectation is what an ID token is compared with. Empty fields but
// clientID are not compared.
type idExpectation struct {
	issuer   string
	template string // Config.IssuerTemplate
	clientID string
	nonce    string    // sent with the login
	access   string    // access token it came with
	before   string    // ID token that it succeeds
	now      time.Time // by the server's clock, as far as known
}

var (
	errIDTokenUnreadable = errors.New("it cannot be read as a signed JWT")
	errIDTokenIncomplete = errors.New("it lacks iss, sub, aud, exp or iat")
	errIDTokenIssuer     = errors.New("it comes from another issuer (iss)")
	errIDTokenAudience   = errors.New("it is meant for another client (aud, azp)")
	errIDTokenExpired    = errors.New("it has expired (exp)")
	errIDTokenEarly      = errors.New("it was issued in the future (iat)")
	errIDTokenNonce      = errors.New("it belongs to another login (nonce)")
	errIDTokenAccess     = errors.New("it belongs to another access token (at_hash)")
	errIDTokenSubject    = errors.New("the answer is about another person than the session (sub)")
)

// judgeIDToken returns why an ID token is not accepted, or nil. It looks at the
// claims, as OpenID Connect Core section 3.1.3.7 asks, and section 12.2 for a
// token that succeeds another one. auth_time is not compared: servers that let
// people log in anew during a session do change it.
func judgeIDToken(op, token string, want idExpectation) *Error {
	claims, ok := readIDToken(token)
	if !ok {
		fail := idTokenError(op, ErrMisconfigured, errIDTokenUnreadable)
		if strings.Count(token, ".") == 4 { // RFC 7516 section 3.1
			fail.Hint = "register the client for signed ID tokens, not encrypted ones"
		}
		return fail
	}
	before, _ := readIDToken(want.before)
	switch {
	case !claims.complete():
		return idTokenError(op, ErrMisconfigured, errIDTokenIncomplete)
	case !want.isFrom(claims), before.issuer != "" && !metadata.SameIssuer(claims.issuer, before.issuer):
		fail := idTokenError(op, ErrMisconfigured, errIDTokenIssuer)
		fail.Field, fail.Hint = "Issuer", "check Config.Issuer, to the last slash"
		return fail
	case !claims.isFor(want.clientID):
		return idTokenError(op, ErrMisconfigured, errIDTokenAudience)
	case claims.expires.Add(lifetime.Leeway).Before(want.now):
		return idTokenTime(op, errIDTokenExpired)
	case claims.issued.After(want.now.Add(lifetime.Leeway)):
		return idTokenTime(op, errIDTokenEarly)
	case want.nonce != "" && !sameSecret(claims.nonce, want.nonce),
		// Section 12.2: there need be none, but if there is, it is the login's.
		before.nonce != "" && claims.nonce != "" && !sameSecret(claims.nonce, before.nonce):
		return idTokenError(op, ErrLoginRequired, errIDTokenNonce)
	case !claims.matches(want.access):
		return idTokenError(op, ErrMisconfigured, errIDTokenAccess)
	}
	return nil
}

// idTokenTime is the error for a token that does not fit the time.
func idTokenTime(op string, cause error) *Error {
	fail := idTokenError(op, ErrMisconfigured, cause)
	fail.Hint = "check this machine's clock, and the server's"
	return fail
}

// judgeSubject returns an error if token, which came with a refresh, is about
// another person than before (OpenID Connect Core section 12.2). Then the whole
// answer is another person's, mixed up by the server or by a cache in between. The
// session cannot use it, so that the refresh token is sent again as
// after a lost one; using or saving what came would take over, and with the next
// refresh disturb, a stranger's session.
func judgeSubject(token, before string) *Error {
	now, then := idTokenSubject(token), idTokenSubject(before)
	if now == "" || then == "" || now == then {
		return nil
	}
	fail := idTokenError(opRefresh, ErrTransient, errIDTokenSubject)
	fail.Status = http.StatusOK
	return fail
}

// isFrom reports whether claims come from an issuer that is expected.
func (want idExpectation) isFrom(claims idClaims) bool {
	if want.issuer == "" || metadata.SameIssuer(claims.issuer, want.issuer) {
		return true
	}
	tenant := metadata.TenantOf(want.template, claims.issuer)
	return tenant != "" && strings.EqualFold(tenant, claims.tenant) // a GUID (RFC 9562 section 4)
}

func (c *idClaims) complete() bool {
	return c.issuer != "" && c.subject != "" && len(c.audience) > 0 && !c.expires.IsZero() && !c.issued.IsZero()
}

func (c *idClaims) isFor(clientID string) bool {
	return slices.Contains(c.audience, clientID) && (c.authorizedParty == "" || c.authorizedParty == clientID)
}

// matches reports whether at_hash, if the token has it and its algorithm names a
// hash, is that of the access token (section 3.1.3.6): the left half, in
// base64url.
func (c *idClaims) matches(access string) bool {
	var sum []byte
	switch {
	case c.accessTokenHash == "" || access == "":
		return true
	case strings.HasSuffix(c.signingAlgorithm, "256"):
		h := sha256.Sum256([]byte(access))
		sum = h[:]
	case strings.HasSuffix(c.signingAlgorithm, "384"):
		h := sha512.Sum384([]byte(access))
		sum = h[:]
	case strings.HasSuffix(c.signingAlgorithm, "512"):
		h := sha512.Sum512([]byte(access))
		sum = h[:]
	default:
		return true // EdDSA and newer ones name none, and servers differ in what they take
	}
	half := base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	return strings.TrimRight(c.accessTokenHash, "=") == half
}

func sameSecret(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// idTokenError is the error for an ID token that is not accepted because of cause.
func idTokenError(op string, kind, cause error) *Error {
	return &Error{Op: op, Kind: kind, Sent: true, Err: fmt.Errorf("%w: %w", ErrIDToken, cause)}
}

// ErrIDToken means that an ID token failed a check (OpenID Connect Core sections 3.1.3.7
// and 12.2). It comes beside one of the three kinds.
var ErrIDToken = errors.New("ID token not accepted")
