// Package lifetime finds out how long tokens are good, from whatever a server says of
// it. All lives are weighed at a moment called now: the server's own clock when it
// answered, without the monotonic reading.
package lifetime

import (
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// OfAccess weighs the evidence for the access token's life: what the answer says
// about its end, the configured default, the token's own claims if it is a JWT. Zero
// and absurd values of expires_in say nothing; a negative one (seen on replays) says
// that the token is already dead.
func OfAccess(fields member.Fields, token string, fallback time.Duration, now time.Time) (time.Duration, bool) {
	if seconds, _ := fields.Seconds("expires_in"); seconds < 0 {
		return 0, true
	}
	if life, _ := earliestEnd(fields, AccessOwners, true, now); life > 0 {
		return life, true
	}
	if fallback > 0 {
		return fallback, true
	}
	if life, known := OfJWT(token, now); known {
		return life, true
	}
	// Entra's extended life, for when the server is down: it counts only
	// without another end.
	return told(fields["ext_expires_in"], inSeconds, false, now)
}

// OfRefresh looks for the refresh token's life under the names servers use,
// then in the token itself. Keycloak's refresh_expires_in of 0 means that it does not
// end, whatever the token says.
func OfRefresh(fields member.Fields, token string, now time.Time) (time.Duration, bool) {
	if life, isTold := earliestEnd(fields, RefreshOwners, false, now); isTold {
		return life, life > 0
	}
	return OfJWT(token, now)
}
