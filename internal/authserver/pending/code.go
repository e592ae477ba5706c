package pending

import (
	"time"

	"github.com/evertoken/evertoken/internal/authserver/secret"
	"github.com/evertoken/evertoken/internal/authserver/session"
)

// codeLifetime is below the 10 minutes that RFC 6749 section 4.1.2 allows, and
// enough for any client that redeems at once.
const codeLifetime = time.Minute

// A Code is what an authorization code stands for.
type Code struct {
	Grant     session.Grant
	Redirect  string
	Challenge string // of PKCE
	JKT       string // of the key that alone may redeem it (RFC 9449 section 10); or ""

	expires time.Time
	session string // that it was redeemed for; "" if it was not
}

// Codes are the authorization codes of a server. They are safe for concurrent use.
type Codes struct{ shelf[Code] }

// NewCodes returns an empty set.
func NewCodes(now func() time.Time) *Codes {
	return &Codes{newShelf(now, func(c *Code) time.Time { return c.expires })}
}

// Give returns a new code for c.
func (s *Codes) Give(c Code) string {
	code := secret.New(16)
	c.expires = s.now().Add(codeLifetime)
	s.put(code, &c)
	return code
}

// A Redemption is a request for what a code stands for.
type Redemption struct {
	Code, Client, Redirect string
	PKCE                   bool // Verifier has to fit
	Verifier, JKT          string
}

// Redeem returns what a code stands for, which is good once. If the code was
// redeemed before, twice names the session that it gave. A failed attempt uses the
// code up: a party that has it without the verifier has stolen it.
func (s *Codes) Redeem(q Redemption) (g session.Grant, known, good bool, twice string) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.foundLocked(q.Code)
	if c == nil {
		return session.Grant{}, false, false, ""
	}
	twice = c.session
	good = twice == "" && now.Before(c.expires) && c.Grant.Client == q.Client && c.Redirect == q.Redirect &&
		(!q.PKCE || secret.Equal(c.Challenge, secret.S256(q.Verifier))) && (c.JKT == "" || c.JKT == q.JKT)
	if twice == "" {
		c.session = c.Grant.Session
	}
	return c.Grant, true, good, twice
}
