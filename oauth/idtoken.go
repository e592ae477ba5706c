package oauth

import (
	"context"
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
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// maxVerify bounds Config.VerifyIDToken on refresh. Until it returns, the new
// refresh token is in memory only, and if the process ends, so does the session:
// long enough to fetch keys from a server that answered a moment ago.
const maxVerify = 5 * time.Second

// checkLogin returns pair, the answer to a login, if its ID token is what it
// should be. nonce is the one sent with the request, or empty.
func (c *Client) checkLogin(ctx context.Context, op string, pair *TokenPair, nonce string) (*TokenPair, error) {
	if pair.IDToken == "" {
		return pair, nil
	}
	want := c.expectation(pair)
	want.nonce = nonce
	if fail := c.checkIDToken(ctx, op, pair.IDToken, want); fail != nil {
		return nil, fail
	}
	return pair, nil
}

// checkRenewed judges the ID token that came with next, the successor of old. One
// that fails is removed from next, and next says why: the refresh token beside it
// is all that the session has, and is not to be lost over an ID token. Only an
// answer about another person is an error, since nothing in it is old's owner's.
func (c *Client) checkRenewed(ctx context.Context, next, old *TokenPair) error {
	if next.IDToken == "" {
		return nil
	}
	if fail := judgeSubject(next.IDToken, old.IDToken); fail != nil {
		return fail
	}
	ctx, cancel := context.WithTimeout(ctx, maxVerify)
	defer cancel()
	want := c.expectation(next)
	want.before = old.IDToken
	if fail := c.checkIDToken(ctx, opRefresh, next.IDToken, want); fail != nil {
		next.IDToken, next.IDTokenError = "", fail
	}
	return nil
}

// expectation is what an ID token that came with pair is compared with.
func (c *Client) expectation(pair *TokenPair) idExpectation {
	return idExpectation{
		issuer:   c.cfg.Issuer,
		template: c.cfg.issuerPattern(),
		secret:   c.auth.usesSecret(),
		clientID: c.cfg.ClientID,
		access:   pair.AccessToken,
		// The server's clock, as far as its answer told: a machine whose clock is
		// wrong must be able to log in.
		now: c.cfg.Now().Add(-pair.Skew),
	}
}

// checkIDToken checks the claims, then lets the program check the signature.
func (c *Client) checkIDToken(ctx context.Context, op, token string, want idExpectation) *Error {
	if fail := judgeIDToken(op, token, want); fail != nil {
		return fail
	}
	if c.cfg.VerifyIDToken == nil {
		return nil
	}
	if c.cfg.Endpoints.JWKS != "" {
		if err := wire.CheckField("Endpoints.JWKS", c.cfg.Endpoints.JWKS); err != nil {
			return idTokenError(op, ErrMisconfigured, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	err := c.verifyIDToken(ctx, token)
	if err == nil {
		return nil
	}
	kind := ErrMisconfigured
	if errors.Is(err, ErrTransient) || ctx.Err() != nil {
		kind = ErrTransient
	}
	return idTokenError(op, kind, err)
}

// verifyIDToken calls the program's hook. A panic there must not take the tokens
// with it that came beside the ID token; its text could hold a secret.
func (c *Client) verifyIDToken(ctx context.Context, token string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in Config.VerifyIDToken (%T)", p)
		}
	}()
	return c.cfg.VerifyIDToken(ctx, IDTokenCheck{
		Token: token, Issuer: c.cfg.Issuer, ClientID: c.cfg.ClientID, JWKSURL: c.cfg.Endpoints.JWKS, HTTPClient: c.sender.HTTP,
	})
}

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
	critical         bool // the header has crit
	unsigned         bool
}

// readIDToken reads the claims without checking the signature: the token came
// from the token endpoint over TLS, which OpenID Connect Core section 3.1.3.7
// item 6 accepts in its place. So the algorithm may be one that this package
// does not know, and judgeAlgorithm says which are not accepted nevertheless.
func readIDToken(token string) (idClaims, bool) {
	header, claims := member.JWT(token)
	alg := header.Text("alg")
	_, encrypted := header["enc"] // which no signed one has (RFC 7516 section 9)
	if !isName(alg) || encrypted || claims == nil {
		return idClaims{}, false
	}
	_, critical := header["crit"]
	return idClaims{
		issuer: claims.Text("iss"), subject: claims.Name("sub"), audience: claims.Names("aud"),
		expires: claims.Unix("exp"), issued: claims.Unix("iat"),
		nonce: claims.Text("nonce"), authorizedParty: claims.Name("azp"),
		accessTokenHash: claims.Text("at_hash"), tenant: claims.Text("tid"), signingAlgorithm: alg,
		critical: critical, unsigned: strings.Trim(token[strings.LastIndexByte(token, '.')+1:], "= \t\r\n") == "",
	}, true
}

// isName reports whether alg can name an algorithm: one with a space or a character that does
// not show could be none in disguise.
func isName(alg string) bool {
	return alg != "" && !strings.ContainsFunc(alg, func(r rune) bool { return r <= ' ' || r > '~' })
}

// An idExpectation is what an ID token is compared with. Empty fields but
// clientID are not compared.
type idExpectation struct {
	issuer   string
	template string // Config.IssuerTemplate
	clientID string
	secret   bool      // the client has one, by which the server can sign
	nonce    string    // sent with the login
	access   string    // access token it came with
	before   string    // ID token that it succeeds
	now      time.Time // by the server's clock, as far as known
}

var (
	errIDTokenUnreadable = errors.New("it cannot be read as a signed JWT")
	errIDTokenUnsigned   = errors.New("it is not signed (alg)")
	errIDTokenCritical   = errors.New("it must be understood in a way that is not known here (crit)")
	errIDTokenSymmetric  = errors.New("it is signed with a client secret, and this client has none (alg)")
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
	if fail := judgeAlgorithm(op, claims, want.secret); fail != nil {
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

// judgeAlgorithm returns why an ID token is not accepted whatever its claims say, or nil.
// Of a token whose signature is not checked at all, these are what no server of good faith
// sends to this client: one that is not signed (OpenID Connect Core section 2 allows that
// only to clients that have asked for it), one whose header has an extension, of which
// this package knows none (RFC 7515 section 4.1.11), and one that is signed with a secret
// which the client does not have (section 10.1).
func judgeAlgorithm(op string, claims idClaims, secret bool) *Error {
	fail := idTokenError(op, ErrMisconfigured, errIDTokenUnsigned)
	fail.Hint = "register the client for ID tokens that are signed with a key, such as by RS256"
	switch {
	case claims.unsigned, strings.EqualFold(claims.signingAlgorithm, "none"):
	case claims.critical:
		fail = idTokenError(op, ErrMisconfigured, errIDTokenCritical)
	case !secret && member.HasPrefixFold(claims.signingAlgorithm, "HS"):
		fail.Err = fmt.Errorf("%w: %w", ErrIDToken, errIDTokenSymmetric)
	default:
		return nil
	}
	return fail
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
	if want.issuer == "" || metadata.SameIssuer(claims.issuer, want.issuer) && !metadata.IsPattern(claims.issuer) {
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
