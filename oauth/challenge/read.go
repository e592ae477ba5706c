package challenge

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Challenge is one challenge of a refusal. It prints with everything quoted that came
// from the API, and without the values of its parameters.
type Challenge struct {
	// Scheme is the authentication scheme as it was sent, such as "Bearer". Its letters
	// may be of any case.
	Scheme string
	// Token68 is what a scheme without parameters says, such as Negotiate, as it was
	// sent. Empty means none.
	Token68 string
	// Params are the parameters by their names in lower case, without the quotes. Of a
	// name that repeats, the first value counts. Nil means none.
	Params map[string]string
}

// Code returns the error code (RFC 6750 section 3.1), such as "invalid_token", or "".
// Codes are compared in their own letters.
func (c Challenge) Code() string { return c.Params["error"] }

// Scopes returns the scopes that the refused request needs (RFC 6750 section 3), none if
// the API does not tell.
func (c Challenge) Scopes() []string { return strings.Fields(c.Params["scope"]) }

// ResourceMetadata returns where the API describes itself (RFC 9728 section 5.1), or "".
// oauth.DiscoverResource asks there only if it is at the API's own origin.
func (c Challenge) ResourceMetadata() string { return c.Params["resource_metadata"] }

// WantsLogin reports whether the API asks for another login, stronger or more recent
// than that of the token (insufficient_user_authentication, RFC 9470 section 3). ACRValues
// and MaxAge say what kind. No refresh helps.
func (c Challenge) WantsLogin() bool { return c.Code() == "insufficient_user_authentication" }

// ACRValues returns the authentication context class references of which the API wants
// one, in its order of preference (acr_values, RFC 9470 section 3), for the parameter
// acr_values of an authorization request.
func (c Challenge) ACRValues() []string { return strings.Fields(c.Params["acr_values"]) }

// MaxAge returns how long ago the login may have been at most (max_age, RFC 9470 section
// 3), for the parameter max_age of an authorization request, which is in seconds. Zero
// means that the person has to log in now. False means that the API does not tell, or not
// by a number of seconds.
func (c Challenge) MaxAge() (time.Duration, bool) {
	seconds, err := strconv.ParseUint(c.Params["max_age"], 10, 31) // beyond 68 years it is not a limit
	return time.Duration(seconds) * time.Second, err == nil
}

// String names the scheme and the parameters.
func (c Challenge) String() string {
	return fmt.Sprintf("challenge.Challenge{scheme:%q token68:%t params:%q}",
		c.Scheme, c.Token68 != "", slices.Sorted(maps.Keys(c.Params)))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (c Challenge) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// LogValue implements slog.LogValuer.
func (c Challenge) LogValue() slog.Value { return slog.StringValue(c.String()) }
