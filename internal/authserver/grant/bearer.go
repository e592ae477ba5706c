package grant

import (
	"crypto"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/client"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/internal/authserver/once"
	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// What draft-ietf-oauth-identity-assertion-authz-grant names.
const (
	typeIDJAG   = "urn:ietf:params:oauth:token-type:id-jag"
	headerIDJAG = "oauth-id-jag+jwt"
	// lifeIDJAG is that of the draft's examples.
	lifeIDJAG = 5 * time.Minute
)

// An Issuer returns the public key of an issuer of assertions by its ID, or nil. The ID is
// empty if an assertion names none.
type Issuer func(kid string) crypto.PublicKey

// bearerClaims are what an assertion says (RFC 7523 section 3), and an identity assertion
// besides.
type bearerClaims struct {
	jwt.RegisteredClaims
	ClientID string           `json:"client_id,omitempty"`
	Resource jwt.ClaimStrings `json:"resource,omitempty"`
	Scope    string           `json:"scope,omitempty"`
}

// byBearer is the JWT bearer grant (RFC 7523 section 2.1). It gives no refresh token.
// Identity assertions are good once; others, such as a workload's that a platform keeps in a
// file, until they end.
func (e *Endpoints) byBearer(q request) *answer.Answer {
	if q.form.Get("assertion") == "" {
		return answer.BadRequest("invalid_request", "assertion is missing")
	}
	claims, typ, ok := e.readBearer(q.form.Get("assertion"))
	switch {
	case !ok:
		return answer.InvalidGrant("the assertion is not accepted")
	case typ == headerIDJAG && (claims.ClientID != q.client.ID || claims.ID == ""):
		return answer.InvalidGrant("the assertion was issued to another client")
	case typ == headerIDJAG && !e.seen.First(claims.Issuer+" "+claims.ID, claims.ExpiresAt.Time, e.Proofs.Now()):
		e.OnReplay(secret.Short(secret.Hash(claims.ID)))
		return answer.InvalidGrant("the assertion was used before")
	}
	asked := q.form.Get("scope")
	if claims.Scope != "" && form.Exceeds(asked, claims.Scope) {
		return answer.BadRequest("invalid_scope", "the scope exceeds that of the assertion")
	}
	if asked == "" {
		asked = claims.Scope
	}
	g := e.Sessions.NewGrant(claims.Subject, q.client.ID, asked)
	if g.Resources = q.form["resource"]; len(claims.Resource) > 0 {
		g.Resources = claims.Resource
	}
	return answer.JSON(http.StatusOK, e.Sessions.BeginAccess(g, q.shown))
}

// readBearer verifies an assertion, and returns what it says and its type.
func (e *Endpoints) readBearer(assertion string) (*bearerClaims, string, bool) {
	var claims bearerClaims
	parser := jwt.NewParser(jwt.WithValidMethods(client.AssertionAlgs), jwt.WithTimeFunc(e.Proofs.Now),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(once.Leeway))
	token, err := parser.ParseWithClaims(assertion, &claims, func(t *jwt.Token) (any, error) {
		issuer := e.Trusted[claims.Issuer]
		if issuer == nil {
			return nil, errUntrusted
		}
		kid, _ := t.Header["kid"].(string)
		key := issuer(kid)
		if !slices.Contains(client.AlgsFor(key), t.Method.Alg()) {
			return nil, errUntrusted
		}
		return key, nil
	})
	if err != nil || claims.Subject == "" || !slices.Contains(claims.Audience, e.Issuer) && !slices.Contains(claims.Audience, e.TokenURL) {
		return nil, "", false
	}
	typ, _ := token.Header["typ"].(string)
	return &claims, typ, true
}

var errUntrusted = errors.New("the server does not trust the issuer, or not by this key")

// exchangeForIDJAG issues an identity assertion for another server to the client whom a
// person has logged in with.
func (e *Endpoints) exchangeForIDJAG(q request) *answer.Answer {
	audience := q.form["audience"]
	subject := e.shownToken(q, "subject_token")
	switch {
	case q.form.Get("subject_token_type") != typeIDToken || subject == nil:
		return answer.BadRequest("invalid_request", "the subject token is not accepted")
	case len(audience) != 1 || audience[0] == "":
		return answer.BadRequest("invalid_request", "an identity assertion is for one audience")
	}
	clientID := e.ClientsElsewhere[audience[0]]
	if clientID == "" {
		clientID = q.client.ID
	}
	now := e.Proofs.Now()
	assertion := e.Keys.Sign(headerIDJAG, bearerClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: e.Issuer, Subject: subject.user, Audience: audience, ID: secret.New(16),
			IssuedAt: jwt.NewNumericDate(now.Truncate(time.Second)), ExpiresAt: keys.WholeSecond(now.Add(lifeIDJAG)),
		},
		ClientID: clientID, Resource: q.form["resource"], Scope: q.form.Get("scope"),
	})
	return answer.JSON(http.StatusOK, map[string]any{
		"access_token": assertion, "issued_token_type": typeIDJAG, "token_type": "N_A", "expires_in": int(lifeIDJAG.Seconds()),
	})
}
