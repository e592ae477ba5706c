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
	GoKratos = "/go-kratos"
	SanicJWT = "/sanic-jwt"
	GinJWT   = "/gin-jwt"
	GinJWT2  = "/gin-jwt-2"
	ASPNET   = "/aspnet"
	Cookie   = "/cookie"
)

var backends = [...]string{Kratos, GoKratos, SanicJWT, GinJWT, GinJWT2, ASPNET, Cookie}

// Settings are what the teams behind the backends choose. The zero value has the
// defaults of the frameworks. What the fields do is told where the program sets them:
// see oauthtest.Config.
type Settings struct {
	GoKratos GoKratosSettings
	SanicJWT SanicJWTSettings
	GinJWT   GinJWTSettings
	GinJWT2  GinJWT2Settings
	ASPNET   ASPNETSettings
}

// Endpoints are the endpoints of all backends. All fields are required. Make one with New.
type Endpoints struct {
	Needs
	speeches map[string]speech
}

// Needs are what the backends ask of the server around them.
type Needs struct {
	Settings             Settings
	Now                  func() time.Time
	Keys                 *keys.Ring
	Users                *user.Directory
	Clients              *client.Registry
	Sessions             *session.Sessions
	RefreshTokenLifetime time.Duration
}

// New returns the endpoints.
func New(needs Needs) *Endpoints {
	return &Endpoints{needs, map[string]speech{
		Kratos:   kratos(),
		GoKratos: goKratos(needs.Settings.GoKratos),
		SanicJWT: sanicJWT(needs.Settings.SanicJWT.withDefaults()),
		GinJWT:   ginJWT(needs.Settings.GinJWT),
		GinJWT2:  ginJWT2(needs.Settings.GinJWT2),
		ASPNET:   aspNET(needs.Settings.ASPNET),
		Cookie:   cookieBackend(),
	}}
}

// Paths are where a backend takes name and password, where refresh tokens, where it ends
// sessions, and where it wants an access token. Those that it has not are empty.
type Paths struct{ Login, Refresh, Logout, API string }

// DefaultPaths returns the paths of a backend without settings.
func DefaultPaths(backend string) Paths { return New(Needs{}).Paths(backend) }

// Paths returns the paths of a backend.
func (e *Endpoints) Paths(backend string) Paths {
	below := func(path string) string {
		if path == "" {
			return ""
		}
		return backend + path
	}
	sp := e.speeches[backend]
	return Paths{below(sp.login), below(sp.refresh), below(sp.logout), below(sp.api)}
}

// A speech is how a backend talks. It is written down here by itself, and not
// taken from oauth's dialects, so that it shows their mistakes.
type speech struct {
	login, refresh, logout, api string // paths; it has none of those that are empty
	behind                      string // a second logout, which wants an access token as the API does
	refreshMethod               string // empty means POST
	username, password          string // names of a login's fields; empty means these
	// refreshToken finds the refresh token of a request, or returns "".
	refreshToken func(r *http.Request, body []byte, form url.Values) string
	// spends returns the refresh token, as the server's sessions know it, for the one that a
	// client has. Nil: they are the same.
	spends func(raw string) string
	// reads, if set, refuses a request whose body it cannot read.
	reads func(r *http.Request, body []byte) *answer.Answer
	// guard, if set, refuses a refresh before its refresh token is looked at.
	guard func(e *Endpoints, r *http.Request, body []byte, raw string) *answer.Answer
	// renews, if set, answers a refresh in place of the server's sessions.
	renews func(e *Endpoints, r *http.Request, raw string) *answer.Answer
	// keeps tells that refresh tokens never rotate.
	keeps bool
	// shows turns the answer of a login or refresh into the backend's.
	shows func(e *Endpoints, a *answer.Answer)
	// refuses says in the backend's words what is wrong.
	refuses func(refusal) *answer.Answer
	// wantsLogin tells that it refuses a login without a name or a password as such.
	wantsLogin bool
	// shrugs tells that it answers a logout alike whether that ended a session or
	// not, and that a spent refresh token ends none.
	shrugs bool
	// admits, if set, refuses a logout without an access token that lives.
	admits func(e *Endpoints, r *http.Request) *answer.Answer
	// caller, if set, returns the claims of the access token that admits has let pass: a logout
	// without a refresh token ends its session.
	caller func(e *Endpoints, r *http.Request) *keys.AccessClaims
	// loggedOut says that the session has ended.
	loggedOut func() *answer.Answer
	// serves is the API.
	serves func(e *Endpoints, r *http.Request) *answer.Answer
}

// A refusal is why a backend does not do what it is asked.
type refusal int

const (
	badPassword refusal = iota
	unknownUser         // of a refresh token: the user is gone
	noSuchUser          // of a login
	noToken             // the request has no refresh token
	deadToken           // revoked, or never given out
	expiredToken
	reusedToken
	storeDown
	noNewSession // the store is down at a login
	noBody       // the request has no body, or one that cannot be read
	noLogin      // a login lacks the name or the password
)

// at returns the backend that an endpoint belongs to.
func (e *Endpoints) at(endpoint string) (backend string, found bool) {
	for _, b := range backends {
		p := e.Paths(b)
		switch below, found := strings.CutPrefix(endpoint, b+"/"); {
		case !found:
		case endpoint == p.Login, endpoint == p.Refresh, endpoint == p.Logout, endpoint == p.API, "/"+below == e.speeches[b].behind:
			return b, true
		}
	}
	return "", false
}

// Unslashed returns an endpoint without the final slash that sanic-jwt's routes can have:
// Sanic is not strict about it.
func (e *Endpoints) Unslashed(endpoint string) string {
	if plain := strings.TrimSuffix(endpoint, "/"); plain != endpoint {
		if b, found := e.at(plain); found && b == SanicJWT {
			return plain
		}
	}
	return endpoint
}

// Handler returns what serves an endpoint, or nil, and by which method.
func (e *Endpoints) Handler(endpoint string) (serve func(*http.Request) *answer.Answer, method string) {
	b, found := e.at(endpoint)
	if !found {
		return nil, ""
	}
	sp, do, method := e.speeches[b], e.login, http.MethodPost
	switch p := e.Paths(b); endpoint {
	case p.Refresh:
		do = e.refresh
		if sp.refreshMethod != "" {
			method = sp.refreshMethod
		}
	case p.Logout:
		do = e.logout
	case p.API:
		do, method = e.serveAPI, http.MethodGet
	case b + sp.behind:
		do = e.logoutBehind
	}
	return func(r *http.Request) *answer.Answer {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return sp.refuses(noBody)
		}
		a := do(sp, r, body)
		a.Header.Set("Date", e.Now().UTC().Format(http.TimeFormat)) // in a bubble, too
		return a
	}, method
}

// SpentToken returns the refresh token that a request to an endpoint spends, or "".
func (e *Endpoints) SpentToken(endpoint string, r *http.Request, body []byte, form url.Values) string {
	b, found := e.at(endpoint)
	if !found || endpoint != e.Paths(b).Refresh {
		return ""
	}
	return e.speeches[b].refreshToken(r, body, form)
}

// Known returns a refresh token as the server's sessions know it.
func (e *Endpoints) Known(raw string) string {
	for _, b := range backends {
		if spends := e.speeches[b].spends; spends != nil {
			if known := spends(raw); known != "" {
				return known
			}
		}
	}
	return raw
}

func (e *Endpoints) login(sp speech, r *http.Request, body []byte) *answer.Answer {
	if sp.reads != nil {
		if refused := sp.reads(r, body); refused != nil {
			return refused
		}
	}
	name := func(name, standard string) string {
		if name == "" {
			return standard
		}
		return name
	}
	user, password := jsonOrForm(body, r.PostForm, name(sp.username, "username")), jsonOrForm(body, r.PostForm, name(sp.password, "password"))
	if sp.wantsLogin && (user == "" || password == "") {
		return sp.refuses(noLogin)
	}
	if !e.Users.Knows(user) {
		return sp.refuses(noSuchUser)
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
	if sp.reads != nil {
		if refused := sp.reads(r, body); refused != nil {
			return refused
		}
	}
	raw := sp.refreshToken(r, body, r.PostForm)
	if sp.renews != nil {
		return sp.renews(e, r, raw)
	}
	if sp.guard != nil {
		if refused := sp.guard(e, r, body, raw); refused != nil {
			return refused
		}
	}
	if raw == "" {
		return sp.refuses(noToken)
	}
	if sp.spends != nil {
		raw = sp.spends(raw)
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
	if sp.reads != nil {
		if refused := sp.reads(r, body); refused != nil {
			return refused
		}
	}
	if sp.admits != nil {
		if refused := sp.admits(e, r); refused != nil {
			return refused
		}
	}
	raw := sp.refreshToken(r, body, r.PostForm)
	if sp.shrugs {
		switch {
		case raw != "" && e.Sessions.IsLive(form.Detached(r), raw):
			e.Sessions.RevokeRefresh(form.Detached(r), e.Clients.Own().ID, raw)
		case raw == "" && sp.caller != nil:
			e.Sessions.EndSession(form.Detached(r), sp.caller(e, r).Session)
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

// logoutBehind is logout for a request that the API would take.
func (e *Endpoints) logoutBehind(sp speech, r *http.Request, body []byte) *answer.Answer {
	if a := sp.serves(e, r); a.Status != http.StatusOK {
		return a
	}
	return e.logout(sp, r, body)
}

func (e *Endpoints) serveAPI(sp speech, r *http.Request, _ []byte) *answer.Answer {
	return sp.serves(e, r)
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
