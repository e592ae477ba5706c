package lifetime

import (
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// OfJWT returns how long an unverified JWT is good for: exp − iat, which is free
// of clock skew; or, without iat, from the time before which it is not good, or that
// of its first issue as gin-jwt writes it; or else from now, which is the server's Date, and so with
// one that was issued long before it was sent, as from a cache. It is a hint for
// planning only: a client must not rely on reading a token that is meant for a resource
// server (RFC 9068 section 6).
func OfJWT(token string, now time.Time) (time.Duration, bool) {
	_, claims := member.JWT(token)
	end := claims.Unix("exp")
	if end.IsZero() {
		return 0, false
	}
	left := end.Sub(now)
	for _, name := range []string{"iat", "nbf", "orig_iat"} {
		begin := claims.Unix(name)
		if begin.IsZero() {
			continue
		}
		if life := end.Sub(begin); !BelievableLife(left) || life-left <= Leeway {
			return life, BelievableLife(life)
		}
		break
	}
	return left, BelievableLife(left)
}

// Leeway is the difference of clocks that is put up with. The server's
// own Date is what times are compared with, so it covers servers without one, and
// a token endpoint whose clock differs from that of the proxy before it.
const Leeway = 5 * time.Minute
