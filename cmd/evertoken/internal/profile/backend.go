package profile

import (
	"fmt"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect"
)

// A Backend is what a profile remembers of a server that does not speak OAuth. It keeps the
// dialect itself, so that a session stays as it was when a file is changed, or when a newer
// version knows the backend better.
type Backend struct {
	URL      string          `json:"url"`
	Named    string          `json:"named"` // the dialect, as --dialect named it
	Dialect  dialect.Dialect `json:"dialect"`
	Username string          `json:"username,omitempty"`
	DeviceID string          `json:"device_id,omitempty"`
}

// Client returns what talks to the backend. lifetime is that of an access token about which
// the backend says nothing, or zero.
func (b *Backend) Client(lifetime Span) *dialect.Client {
	return dialect.NewClient(b.Dialect, dialect.Config{BaseURL: b.URL, DeviceID: b.DeviceID, DefaultLifetime: time.Duration(lifetime)})
}

// readyMade are the dialects that can be named.
var readyMade = []struct {
	name string
	made func() dialect.Dialect
}{
	{"kratos", dialect.Kratos},
	{"sanic-jwt", dialect.SanicJWT},
	{"gin-jwt", dialect.GinJWT},
	{"gin-jwt2", dialect.GinJWT2},
	{"aspnet", dialect.ASPNET},
	{"cookie", dialect.Cookie},
}

// ReadyMade returns the dialect of this name, if there is one.
func ReadyMade(name string) (dialect.Dialect, bool) {
	for _, ready := range readyMade {
		if ready.name == name {
			return ready.made(), true
		}
	}
	return dialect.Dialect{}, false
}

// DialectNames lists the ready-made dialects for people.
func DialectNames() string {
	text := ""
	for i, ready := range readyMade {
		if i > 0 {
			text += ", "
		}
		text += ready.name
	}
	return text
}

// A Presentation is an oauth.Presentation in a profile.
type Presentation struct {
	Header          string `json:"header,omitempty"`
	Scheme          string `json:"scheme,omitempty"`
	Cookie          string `json:"cookie,omitempty"`
	SignatureCookie string `json:"signature_cookie,omitempty"`
}

// OAuth returns p as the library has it.
func (p Presentation) OAuth() oauth.Presentation { return oauth.Presentation(p) }

// A Grace is how long a server takes a spent refresh token again, as --grace names it:
// none, until-used, or a duration. Zero means that the server's preset knows.
type Grace time.Duration

const (
	graceNone      = "none"
	graceUntilUsed = "until-used"
)

// MarshalText implements encoding.TextMarshaler.
func (g Grace) MarshalText() ([]byte, error) {
	switch time.Duration(g) {
	case oauth.GraceNone:
		return []byte(graceNone), nil
	case oauth.GraceUntilUsed:
		return []byte(graceUntilUsed), nil
	}
	return []byte(time.Duration(g).String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (g *Grace) UnmarshalText(text []byte) error {
	switch string(text) {
	case graceNone:
		*g = Grace(oauth.GraceNone)
		return nil
	case graceUntilUsed:
		*g = Grace(oauth.GraceUntilUsed)
		return nil
	case "":
		*g = 0
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("want %s, %s or a duration such as 30s", graceNone, graceUntilUsed)
	}
	*g = Grace(d)
	return nil
}
