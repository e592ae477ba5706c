package oauthtest

import (
	"net/http"
	"sync"
	"time"
)

// A Fault is one thing that goes wrong. Without AfterCommit it happens instead
// of the server's work; with it the server does its work first, so a refresh
// token is really spent although its answer never arrives.
//
// A Fault that sets only Delay, Header, ExpiresIn, Edit, Rewrite or EndsEarly leaves
// the request to the server and touches only the time or the content of its answer:
// a refresh is carried out, and the tokens in the odd answer are good.
type Fault struct {
	// Endpoint is where it happens; the token endpoint by default.
	Endpoint Endpoint
	// Grant limits it to requests with this grant_type. Empty means any request.
	Grant string
	// User limits it to refreshes of this user's sessions. Empty means any request.
	User string
	// Times is how many requests it hits. Zero means one; negative, all to come.
	Times int
	// AfterCommit lets the server do its work before the fault happens.
	AfterCommit bool

	// Delay passes before anything else, or after the work with AfterCommit. A
	// client that leaves meanwhile ends the wait, not the request: the server
	// carries on with it.
	Delay time.Duration
	// Hang gives no answer until the client leaves; the request is then dropped.
	Hang bool
	// Down refuses the connection: the request never arrives. A server behind a
	// socket cannot do that for one request; there it is a reset before commit.
	Down bool
	// Reset breaks the connection without an answer.
	Reset bool
	// CutBody breaks the connection in the middle of the body. Unless Status,
	// Body or HTML gives another, that is the server's own answer, so the work is
	// done.
	CutBody bool
	// EndsEarly sends the whole body and then breaks the connection where more was
	// promised, as with a Content-Length that is too long or a last chunk that is
	// missing: the client's reading ends in io.ErrUnexpectedEOF.
	EndsEarly bool

	// Status and Body replace the answer. Status defaults to 200 when only Body or
	// HTML is set. Body is sent as JSON unless Header says otherwise.
	Status int
	Body   string
	// Header is added to the answer, replacing what the server would send under the
	// same names. A name without values is left out of the answer.
	Header http.Header
	// HTML replaces the body by a web page of a proxy or portal.
	HTML bool
	// Redirect answers with a redirect to this URL: 307 unless Status is set.
	Redirect string
	// RetryAfter adds a Retry-After header, in seconds rounded up. Status is 429
	// unless set.
	RetryAfter time.Duration

	// ExpiresIn replaces expires_in in the server's answer by this JSON text, such
	// as `"3600"`, `0`, `-3` or `1e12`; Missing removes it. The token's real
	// lifetime stays.
	ExpiresIn string
	// Edit changes the server's answer before it is sent. It gets the JSON
	// object, and must not keep it.
	Edit func(fields map[string]any)
	// Rewrite turns the body that the server would send, after ExpiresIn and Edit,
	// into the one that is sent. The auditor takes the client to know its new tokens
	// as long as they stand whole in the body. See Catalogue.OddAnswers.
	Rewrite func(body []byte) []byte
}

// Missing as Fault.ExpiresIn removes the field.
const Missing = "missing"

// A script is the queue of faults to come.
type script struct {
	mu     sync.Mutex // guards faults
	faults []Fault
}

// Script queues faults. Each request takes the first in the queue that is meant
// for its endpoint, grant and user.
func (s *Server) Script(faults ...Fault) {
	s.script.mu.Lock()
	defer s.script.mu.Unlock()
	for _, f := range faults {
		if f.Endpoint == "" {
			f.Endpoint = TokenEndpoint
		}
		if f.Times == 0 {
			f.Times = 1
		}
		s.script.faults = append(s.script.faults, f)
	}
}

// ClearScript drops the faults that have not happened and returns how many
// there were.
func (s *Server) ClearScript() int {
	s.script.mu.Lock()
	defer s.script.mu.Unlock()
	n := len(s.script.faults)
	s.script.faults = nil
	return n
}

// meant reports whether the fault is for a request of this kind. user is whose
// refresh it is, or "".
func (f *Fault) meant(e Endpoint, grant, user string) bool {
	return (f.Endpoint == e || f.Endpoint == AnyEndpoint) && (f.Grant == "" || f.Grant == grant) && (f.User == "" || f.User == user)
}

// take returns the fault for a request, or nil.
func (sc *script) take(e Endpoint, grant, user string) *Fault {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for i := range sc.faults {
		f := &sc.faults[i]
		if !f.meant(e, grant, user) {
			continue
		}
		taken := *f
		if f.Times > 0 {
			f.Times--
		}
		if f.Times == 0 {
			sc.faults = append(sc.faults[:i:i], sc.faults[i+1:]...)
		}
		return &taken
	}
	return nil
}
