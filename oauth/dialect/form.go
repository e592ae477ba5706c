package dialect

import (
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/dialect/internal/document"
)

// The written form of a dialect: which members it has, in the order in which they are
// written, and where each is kept. Reading and writing both go by this.

// An entry is a member of an object of the form. at points to where its value is kept: a
// string, an int, a bool, names, a meaning, a slice of these or of objects, or an object.
type entry struct {
	name string
	at   any
}

// An object is what is an object in the form.
type object interface{ entries() []entry }

func (d *Dialect) entries() []entry {
	return []entry{
		{"name", &d.Name},
		{"login", &d.Login},
		{"refresh", &d.Refresh},
		{"revocations", &d.Revocations},
		{"logout", &d.Logout},
		{"grace", (*grace)(&d.Grace)},
		{"answer", &d.Answer},
		{"presentation", (*presentation)(&d.Presentation)},
	}
}

func (r *Request) entries() []entry {
	return []entry{
		{"method", &r.Method},
		{"path", &r.Path},
		{"encoding", (*string)(&r.Encoding)},
		{"fields", &r.Fields},
		{"errors", &r.Errors},
	}
}

func (f *Field) entries() []entry {
	return []entry{
		{"value", (*string)(&f.Value)},
		{"fixed", &f.Fixed},
		{"template", &f.Template},
		{"place", (*string)(&f.Place)},
		{"name", &f.Name},
		{"json", &f.JSON},
	}
}

func (e *Error) entries() []entry {
	return []entry{
		{"status", &e.Status},
		{"code", &e.Code},
		{"means", &e.Means},
	}
}

func (n *Answer) entries() []entry {
	return []entry{
		{"access_token", (*names)(&n.AccessToken)},
		{"refresh_token", (*names)(&n.RefreshToken)},
		{"token_type", (*names)(&n.TokenType)},
		{"expires_in", (*names)(&n.ExpiresIn)},
		{"scope", (*names)(&n.Scope)},
		{"id_token", (*names)(&n.IDToken)},
		{"refresh_expires_in", (*names)(&n.RefreshExpiresIn)},
		{"expires_at", (*names)(&n.ExpiresAt)},
		{"refresh_expires_at", (*names)(&n.RefreshExpiresAt)},
		{"token_path", &n.TokenPath},
		{"access_cookie", &n.AccessCookie},
		{"refresh_cookie", &n.RefreshCookie},
		{"access_header", &n.AccessHeader},
		{"refresh_header", &n.RefreshHeader},
		{"error_codes", &n.ErrorCodes},
	}
}

// A grace is a Dialect.Grace in the form: none, until-used, or a duration such as 30s.
type grace time.Duration

func (g grace) MarshalText() ([]byte, error) {
	switch time.Duration(g) {
	case oauth.GraceNone:
		return []byte("none"), nil
	case oauth.GraceUntilUsed:
		return []byte("until-used"), nil
	}
	return []byte(time.Duration(g).String()), nil
}

func readGrace(n *document.Node, at *grace) error {
	var text string
	if err := readText(n, &text); err != nil {
		return err
	}
	switch text {
	case "none":
		*at = grace(oauth.GraceNone)
		return nil
	case "until-used":
		*at = grace(oauth.GraceUntilUsed)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return n.Wrong("has to be none, until-used, or a time such as 30s")
	}
	*at = grace(d)
	return nil
}

// A presentation is an oauth.Presentation in the form.
type presentation oauth.Presentation

func (p *presentation) entries() []entry {
	return []entry{
		{"header", &p.Header},
		{"scheme", &p.Scheme},
		{"cookie", &p.Cookie},
		{"signature_cookie", &p.SignatureCookie},
	}
}

// names are the names of a member of an answer, with spaces between them: in the form a
// text, or a list of them.
type names string

// meanings are what errors can mean, in the form.
var meanings = []struct {
	name string
	err  error
}{
	{"token_expired", oauth.ErrTokenExpired},
	{"token_reused", oauth.ErrTokenReused},
	{"token_invalid", oauth.ErrTokenInvalid},
	{"user_not_found", oauth.ErrUserNotFound},
	{"refresh_token_required", oauth.ErrRefreshTokenRequired},
	{"client_refused", oauth.ErrClientRefused},
	{"login_required", oauth.ErrLoginRequired},
	{"transient", oauth.ErrTransient},
	{"misconfigured", oauth.ErrMisconfigured},
}

func meaningNames() string {
	var list []string
	for _, m := range meanings {
		list = append(list, m.name)
	}
	return strings.Join(list, ", ")
}
