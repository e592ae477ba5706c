package oauth

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/ownfile"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// JWTBearer obtains a token for whom an assertion speaks (RFC 7523 section 2.1), for
// Config.Scopes: a JWT that an issuer has signed whom the server trusts, such as a
// platform for its workloads, a CI service for its jobs (the package workload gets their
// tokens), or the service account itself. To
// keep such a session alive, give a refresh.Manager [Client.JWTBearerRefresher], which
// needs no first pair. A program that is not a client of the server sets Config.ClientAuth to
// [Anonymous].
//
// The pair has no refresh token. If a server sends one, which RFC 7521 section 4.1 advises
// against, it is dropped: the next assertion renews the pair, and an issuer that withdraws it
// means the end of the session.
//
// It sends one request. Errors are of type [*Error] and never [ErrLoginRequired], since
// no person can log in: a refused assertion (invalid_grant) is [ErrMisconfigured], and so
// is every other refusal by an error code that is known. None leads to another grant. Safe
// for concurrent use.
func (c *Client) JWTBearer(ctx context.Context, assertion string) (*TokenPair, error) {
	if err := checkAssertion(assertion); err != nil {
		return nil, err
	}
	form := c.scopeForm(c.cfg.Scopes)
	form.Set("grant_type", GrantTypeJWTBearer)
	form.Set("assertion", assertion)
	pair, err := c.grant(ctx, opJWTBearer, form)
	if err != nil {
		return nil, withoutLogin(err, "the server does not accept the assertion: check its audience, its issuer and this machine's clock, and that the server trusts that issuer for this client")
	}
	pair.RefreshToken, pair.RefreshExpiresAt, pair.GrantedAt = "", time.Time{}, time.Time{}
	pair.GrantType = GrantTypeJWTBearer
	return pair, nil
}

var (
	errNoAssertion = errors.New("the assertion is not a JWT")
	errEmptyFile   = errors.New("the file with the assertion is empty")
	errNoFile      = errors.New("the file with the assertion cannot be read")
	errWrongFile   = errors.New("the file with the assertion is not a regular file, or too large for one")
)

// checkAssertion refuses what cannot be a JWT.
func checkAssertion(assertion string) error {
	if !wire.IsJWT(assertion) {
		return misconfigured(opJWTBearer, errNoAssertion)
	}
	return nil
}

// SelfSigned returns a source of assertions for [Client.JWTBearerRefresher] that are signed
// with key: a service account's, which speaks for itself or for those whom it may
// impersonate. claims are what they say, at least iss and sub, and may replace what each
// new assertion has by itself: aud, which is key.Audience, Config.Issuer or
// Config.TokenURL, the first that is set; jti; iat and exp, a minute apart, by the
// server's clock as far as it is known.
//
// The source's errors are of type [*Error]: [ErrTransient] when the key did not sign,
// [ErrMisconfigured] when it cannot, or when a claim is missing. claims are copied. Safe
// for concurrent use, if key.Signer is.
func (c *Client) SelfSigned(key AssertionKey, claims map[string]any) func(context.Context) (string, error) {
	claims = maps.Clone(claims)
	return func(context.Context) (string, error) {
		if err := key.check(); err != nil {
			return "", misconfigured(opJWTBearer, errors.New("the key cannot sign assertions: set AssertionKey.Signer, and an Algorithm that fits it"))
		}
		for _, name := range []string{"iss", "sub"} { // RFC 7523 section 3
			if text, _ := claims[name].(string); text == "" {
				return "", misconfigured(opJWTBearer, fmt.Errorf("the assertion has no claim %q", name))
			}
		}
		audience := c.cfg.Issuer
		if audience == "" {
			audience = c.cfg.TokenURL
		}
		now := c.cfg.Now().Add(-c.dpop.Recall(c.cfg.TokenURL).Skew)
		assertion, err := key.assertion(jwt.MapClaims(claims), audience, now)
		if err != nil {
			return "", unbuilt(opJWTBearer, err)
		}
		return assertion, nil
	}
}

// unbuilt returns the error for a request that could not be made.
func unbuilt(op string, err error) *Error {
	fail := misconfigured(op, err)
	if u, ok := errors.AsType[*wire.Unbuilt](err); ok {
		fail.Kind, fail.Err = u.Kind, u.Err
	}
	return fail
}

// maxAssertionFile bounds an assertion: servers take headers and forms of some kilobytes.
const maxAssertionFile = 64 << 10

// AssertionFile returns a source of assertions for [Client.JWTBearerRefresher] that reads
// the file anew each time, and leaves out the white space around its content: such as
// Kubernetes' projected service account token, which the platform replaces before it ends.
//
// The source's errors are of type [*Error]: [ErrTransient] while the file is empty, as in
// the moment in which a program writes it, and for a minute when one that was read before
// cannot be read, as while it is replaced; [ErrMisconfigured] when it cannot be read
// otherwise, is not a regular file, or is larger than 64 KiB. Safe for concurrent use.
func AssertionFile(path string) func(context.Context) (string, error) {
	f := &assertionFile{path: path}
	return f.assertion
}

// awayLimit is for how long a file with an assertion may be away: longer than programs take
// that remove it and write another, or than a volume does that is mounted anew.
const awayLimit = time.Minute

// An assertionFile is a file with an assertion.
type assertionFile struct {
	path string

	mu   sync.Mutex // guards what follows
	had  bool       // it has been read
	away time.Time  // since when it cannot be read; zero if it can
}

func (f *assertionFile) assertion(context.Context) (string, error) {
	text, err := readAssertion(f.path)
	passes := f.note(err)
	if err != nil {
		fail := misconfigured(opJWTBearer, err)
		fail.Hint = "check the path, and that this program may read the file"
		if passes {
			fail.Kind = ErrTransient
		}
		return "", fail
	}
	if text == "" {
		return "", &Error{Op: opJWTBearer, Kind: ErrTransient, Err: errEmptyFile}
	}
	return text, nil
}

// note notes what came of reading the file, and reports whether an error may pass by itself.
func (f *assertionFile) note(err error) (passes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.had, f.away = true, time.Time{}
	case !errors.Is(err, errNoFile):
		f.away = time.Time{} // there is something
	case f.away.IsZero():
		f.away = time.Now()
		return f.had
	default:
		return f.had && time.Since(f.away) < awayLimit
	}
	return false
}

// readAssertion reads a file that is to hold an assertion. It may be a link, as those that
// Kubernetes projects are.
func readAssertion(path string) (string, error) {
	content, err := ownfile.ReadLinked(path, maxAssertionFile)
	_, isWrong := errors.AsType[*ownfile.Error](err)
	switch {
	case isWrong, errors.Is(err, ownfile.ErrTooLarge):
		return "", errWrongFile
	case err != nil:
		return "", fmt.Errorf("%w (%w)", errNoFile, wire.Innermost(err))
	}
	return strings.TrimSpace(string(content)), nil
}
