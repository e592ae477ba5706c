// Package backend plays home-grown JSON backends beside the OAuth endpoints: other
// paths, fields and errors for the same users and sessions.
package backend

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/client"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/internal/authserver/session"
	"github.com/evertoken/evertoken/internal/authserver/user"
)

// The backends, by the paths of their base URLs below the issuer.
const (
	Kratos   = "/kratos"
	SanicJWT = "/sanic-jwt"
	GinJWT   = "/gin-jwt"
	ASPNET   = "/aspnet"
	Cookie   = "/cookie"
)

var backends = [...]string{Kratos, SanicJWT, GinJWT, ASPNET, Cookie}

// Endpoints are the endpoints of all backends. All fields are required.
type Endpoints struct {
	Now                  func() time.Time
	Keys                 *keys.Ring
	Users                *user.Directory
	Clients              *client.Registry
	Sessions             *session.Sessions
	RefreshTokenLifetime time.Duration
}

// Paths returns where a backend takes name and password, where refresh tokens, and
// where it ends sessions; logout is empty if it cannot.
func Paths(backend string) (login, refresh, logout string) {
	sp := spoken(backend)
	if sp.logout != "" {
		logout = backend + sp.logout
	}
	return backend + sp.login, backend + sp.refresh, logout
}

// A speech is how a backend talks. It is written down here by itself, and not
// taken from oauth's dialects, so that it shows their mistakes.
type speech struct {
	login, refresh, logout string // paths; no logout if empty
	// refreshToken finds the refresh token of a request, or returns "".
	refreshToken func(r *http.Request, body []byte, form url.Values) string
	// guard, if set, refuses a refresh before its refresh token is looked at.
	guard func(e *Endpoints, r *http.Request, raw string) *answer.Answer
	// keeps tells that refresh tokens never rotate.
	keeps bool
	// shows turns the answer of a login or refresh into the backend's.
	shows func(e *Endpoints, a *answer.Answer)
	// refuses says in the backend's words what is wrong.
	refuses func(refusal) *answer.Answer
	// shrugs tells that it answers a logout alike whether that ended a session or
	// not, and that a spent refresh token ends none.
	shrugs bool
	// loggedOut says that the session has ended.
	loggedOut func() *answer.Answer
}

// A refusal is why a backend does not do what it is asked.
type refusal int

const (
	badPassword refusal = iota
	unknownUser         // no such user
	noToken             // the request has no refresh token
	deadToken           // revoked, or never given out
	expiredToken
	reusedToken
	storeDown
	noNewSession // the store is down at a login
)

func spoken(backend string) speech {
	switch backend {
	case Kratos:
		return kratos()
	case SanicJWT:
		return sanicJWT()
	case GinJWT:
		return ginJWT()
	case ASPNET:
		return aspNET()
	case Cookie:
		return cookieBackend()
	}
	return speech{}
}

// at returns the backend that an endpoint belongs to.
func at(endpoint string) (backend string, found bool) {
	for _, b := range backends {
		login, refresh, logout := Paths(b)
		if strings.HasPrefix(endpoint, b+"/") && (endpoint == login || endpoint == refresh || endpoint == logout) {
			return b, true
		}
	}
	return "", false
}

// Handler returns what serves an endpoint by POST, or nil.
func (e *Endpoints) Handler(endpoint string) func(*http.Request) *answer.Answer {
	b, found := at(endpoint)
	if !found {
		return nil
	}
	sp, serve := spoken(b), e.login
	switch _, refresh, logout := Paths(b); endpoint {
	case refresh:
		serve = e.refresh
	case logout:
		serve = e.logout
	}
	return func(r *http.Request) *answer.Answer {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return sp.refuses(noToken)
		}
		return serve(sp, r, body)
	}
}

// SpentToken returns the refresh token that a request to an endpoint spends, or "".
func SpentToken(endpoint string, r *http.Request, body []byte, form url.Values) string {
	b, found := at(endpoint)
	if _, refresh, _ := Paths(b); !found || endpoint != refresh {
		return ""
	}
	return spoken(b).refreshToken(r, body, form)
}

func (e *Endpoints) login(sp speech, r *http.Request, body []byte) *answer.Answer {
	user, password := jsonOrForm(body, r.PostForm, "username"), jsonOrForm(body, r.PostForm, "password")
	if !e.Users.Knows(user) {
		return sp.refuses(unknownUser)
	}
	if !e.Users.Is(user, password) {
		return sp.refuses(badPassword)
	}
	g := e.Sessions.NewGrant(user, e.Clients.Own().ID, "")
	fields, err := e.Sessions.Begin(form.Detached(r), g, keys.Confirmation{})
	if err != nil {
		return sp.refuses(noNewSession)
	}
	a := answer.JSON(http.StatusOK, fields)
	sp.shows(e, a)
	return a
}

func (e *Endpoints) refresh(sp speech, r *http.Request, body []byte) *answer.Answer {
	raw := sp.refreshToken(r, body, r.PostForm)
	if sp.guard != nil {
		if refused := sp.guard(e, r, raw); refused != nil {
			return refused
		}
	}
	if raw == "" {
		return sp.refuses(noToken)
	}
	why := e.whyDead(raw) // before the token is forgotten
	a := e.refreshFor(sp, r, raw)
	switch {
	case a.Committed:
		sp.shows(e, a)
		return a
	case !a.Refused:
		return sp.refuses(storeDown)
	case a.Reused:
		why = reusedToken
	}
	return sp.refuses(why)
}

// refreshFor spends raw, and answers in the words of RFC 6749.
func (e *Endpoints) refreshFor(sp speech, r *http.Request, raw string) *answer.Answer {
	if sp.keeps {
		return e.Sessions.RefreshKeeping(form.Detached(r), raw)
	}
	own := e.Clients.Own()
	return e.Sessions.Refresh(form.Detached(r), session.Refresh{Token: raw, Client: own.ID, HasSecret: own.Secret != ""})
}

// whyDead returns what is wrong with a refresh token, if something is.
func (e *Endpoints) whyDead(raw string) refusal {
	k, known := e.Sessions.Recall(raw)
	switch {
	case known && !e.Users.Knows(k.User):
		return unknownUser
	case known && !e.Now().Before(k.Expires), e.Sessions.ExpiredJWT(raw):
		return expiredToken
	}
	return deadToken
}

func (e *Endpoints) logout(sp speech, r *http.Request, body []byte) *answer.Answer {
	raw := sp.refreshToken(r, body, r.PostForm)
	if sp.shrugs {
		if e.Sessions.IsLive(form.Detached(r), raw) {
			e.Sessions.RevokeRefresh(form.Detached(r), e.Clients.Own().ID, raw)
		}
		return sp.loggedOut()
	}
	if raw == "" {
		return sp.refuses(noToken)
	}
	why := e.whyDead(raw)
	if !e.Sessions.RevokeRefresh(form.Detached(r), e.Clients.Own().ID, raw) {
		return sp.refuses(why)
	}
	return sp.loggedOut()
}

// jsonOrForm returns a string field of a request, or "".
func jsonOrForm(body []byte, form url.Values, name string) string {
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return form.Get(name)
	}
	return answer.String(fields, name)
}

// only keeps of a token answer the fields that a backend has.
func only(a *answer.Answer, names ...string) {
	kept := make(map[string]any, len(names))
	for _, name := range names {
		if value, found := a.Fields[name]; found {
			kept[name] = value
		}
	}
	a.Fields = kept
}
