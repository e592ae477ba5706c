package oauth

import (
	"math"
	"net/url"
	"time"
)

// A Preset is what a server does that neither its metadata nor its answers tell,
// and that keeping a session alive needs to know. The zero value knows nothing,
// which suits most servers: rotation, grace windows and lost tokens are handled
// without. The package preset beside this one has those of well-known servers; make one
// for a server that is not there.
type Preset struct {
	// RefreshIdleLimit is how long a refresh token lives without being used. A
	// refresh.Manager uses it earlier, unless its own configuration says otherwise.
	// Zero means that the server announces it, or has none.
	RefreshIdleLimit time.Duration
	// RefreshLifetime is how long a refresh token lives after it was issued, used or not.
	// A refresh that gives another one begins anew. Zero: the server announces it, or
	// there is no such end.
	RefreshLifetime time.Duration
	// GrantLifetime is how long the session lives after the person's consent, however
	// often it is renewed. Like RefreshLifetime it becomes the pair's RefreshExpiresAt,
	// unless the server announces an earlier one. Zero: the server announces it, or there
	// is no such end.
	GrantLifetime time.Duration
	// ScopeOnRefresh sends Config.Scopes with every refresh, and Offline.Scope as
	// logins do. They must not be more than what the person has agreed to (RFC 6749
	// section 6).
	ScopeOnRefresh bool
	// Rotation is what a refresh makes of the refresh token.
	Rotation Rotation
	// Grace is how long a refresh token that was spent is taken again, or GraceNone, or
	// GraceUntilUsed. It has no effect with RotationNone. A refresh.Manager whose answer
	// got lost asks again until that is nearly over, for a minute at a time. Zero means
	// that it is not known: then it asks again for fifteen seconds.
	Grace time.Duration
	// EndCodes are error codes by which the server ends a session at a refresh, beside
	// those that are known of all (invalid_grant and the like), in whatever case and
	// under whatever status it sends them.
	EndCodes []string
	// Offline is what logins of persons ask for beside the rest of Config, so that
	// there is a refresh token. Zero: nothing has to be asked for, or it is not known
	// what.
	Offline OfflineAccess
}

// What Preset.Grace can say beside a length of time.
const (
	// GraceNone: a spent refresh token is never taken again, and sending it again does
	// harm, as where that ends the person's sessions on all devices. A refresh.Manager
	// then never sends a token again whose answer got lost. It waits whether another
	// process saves a newer one, and says that a login is needed when the access token
	// is dead. Where a lost answer is rather to be asked for, leave Grace at zero.
	GraceNone time.Duration = -1
	// GraceUntilUsed: a spent refresh token is taken again until its successor, or the
	// access token that came with that, is first used.
	GraceUntilUsed time.Duration = math.MaxInt64
)

// A Rotation is what a refresh makes of the refresh token (RFC 6749 section 6).
// Answers are judged by what they hold, whatever a preset says.
type Rotation uint8

const (
	// RotationUnknown: not known, or a matter of the client's registration.
	RotationUnknown Rotation = iota
	// RotationNone: it stays the same.
	RotationNone
	// RotationOnUse: each refresh gives another one.
	RotationOnUse
)

// OfflineAccess is what a login asks for to be given a refresh token, where the
// server gives none otherwise.
type OfflineAccess struct {
	// Scope is asked for beside Config.Scopes, such as "offline_access". Without
	// any of those it is not: alone it would replace what the server grants by
	// default, and a person would agree to something else.
	Scope string
	// Params are parameters of the authorization request as a query has them, such
	// as "access_type=offline&prompt=consent". Those that Config.AuthParams names
	// are left to it. A device login has none.
	Params string
}

// params returns o.Params by name.
func (o OfflineAccess) params() url.Values {
	params, _ := url.ParseQuery(o.Params) // of a mistake in one, the others are left
	return params
}
