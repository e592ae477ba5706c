package pending

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/secret"
	"github.com/evertoken/evertoken/internal/authserver/session"
)

// A device is a login by RFC 8628 under way.
type device struct {
	grant    session.Grant
	userCode string
	expires  time.Time
	interval time.Duration
	polled   time.Time
	decided  bool
	allowed  bool
	redeemed bool
}

// Devices are the logins by RFC 8628 of a server. They are safe for concurrent use.
type Devices struct {
	shelf[device]
	lifetime, interval time.Duration
}

// NewDevices returns an empty set. interval is how far apart polls must be.
func NewDevices(now func() time.Time, lifetime, interval time.Duration) *Devices {
	return &Devices{newShelf(now, func(d *device) time.Time { return d.expires }), lifetime, interval}
}

// Lifetime is how long a login may take.
func (s *Devices) Lifetime() time.Duration { return s.lifetime }

// Interval is how far apart polls must be.
func (s *Devices) Interval() time.Duration { return s.interval }

// Begin starts a login. Its grant has no user yet.
func (s *Devices) Begin(g session.Grant) (deviceCode, userCode string) {
	d := &device{grant: g, userCode: newUserCode(), interval: s.interval, expires: s.now().Add(s.lifetime)}
	code := secret.New(24)
	s.put(code, d)
	return code, d.userCode
}

// newUserCode returns eight consonants, which RFC 8628 section 6.1 recommends:
// easy to type, and no words.
func newUserCode() string {
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	b := make([]byte, 8)
	rand.Read(b) //nolint:errcheck // it never fails
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)] // a slight bias does no harm here
	}
	return string(b[:4]) + "-" + string(b[4:])
}

// NormalUserCode forgives how a person may type the code.
func NormalUserCode(code string) string {
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	if len(code) == 8 {
		return code[:4] + "-" + code[4:]
	}
	return code
}

// Poll returns the grant once the person has allowed it, or a refusal.
func (s *Devices) Poll(code, clientID string) (session.Grant, *answer.Answer) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.foundLocked(code)
	switch {
	case d == nil || d.grant.Client != clientID || d.redeemed:
		return session.Grant{}, answer.InvalidGrant("the device code is unknown or was used")
	case !now.Before(d.expires):
		return session.Grant{}, answer.BadRequest("expired_token", "the device code has expired")
	case d.decided && !d.allowed:
		return session.Grant{}, answer.BadRequest("access_denied", "the person said no")
	case d.decided:
		d.redeemed = true
		d.grant.LoginUnix = now.Unix()
		return d.grant, nil
	}
	early := !d.polled.IsZero() && now.Sub(d.polled) < d.interval
	d.polled = now
	if early {
		d.interval += 5 * time.Second // RFC 8628 section 3.5
		return session.Grant{}, answer.BadRequest("slow_down", "the client polls too often")
	}
	return session.Grant{}, answer.BadRequest("authorization_pending", "the person has not decided")
}

// Redeemed returns the session that a device code has given, or "".
func (s *Devices) Redeemed(code string) (sessionID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.foundLocked(code); d != nil && d.redeemed {
		return d.grant.Session
	}
	return ""
}

// Waiting returns the grant that waits for a decision under a user code.
func (s *Devices) Waiting(userCode string) (session.Grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.waitingLocked(userCode); d != nil {
		return d.grant, true
	}
	return session.Grant{}, false
}

// Settle reports whether userCode was waiting for the decision.
func (s *Devices) Settle(userCode, user string, allow bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.waitingLocked(userCode)
	if d == nil {
		return false
	}
	d.decided, d.allowed, d.grant.User = true, allow, user
	return true
}

func (s *Devices) waitingLocked(userCode string) *device {
	now := s.now()
	for _, d := range s.kept {
		if d.userCode == userCode && !d.decided && now.Before(d.expires) {
			return d
		}
	}
	return nil
}
