package refresh

import (
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// A firstOrigin is the first origin that a token was used for. It stays that if the token may
// have gone there. While no request has reached it, others for it join those under way; if
// all of these end without a connection, as a mistyped host's do, it is forgotten.
type firstOrigin struct {
	allowedOrigin
	requests atomic.Int64 // under way, or one of those below
}

const (
	reached   = -1 // the token may have gone there: it stays the first origin
	unreached = -2 // it is the first origin no more, and no request joins
)

// join adds a request, unless the origin is known to be reached. It is not ok if the origin is
// the first no more.
func (o *firstOrigin) join() (known, ok bool) {
	for {
		switch n := o.requests.Load(); {
		case n == reached:
			return true, true
		case n == unreached:
			return false, false
		case o.requests.CompareAndSwap(n, n+1):
			return false, true
		}
	}
}

// ended says what has come of a request that has joined: whether the token may have gone to
// the origin. For nil it does nothing.
func (o *firstOrigin) ended(mayHaveGone bool) {
	for o != nil {
		n := o.requests.Load()
		next := n - 1
		switch {
		case n == reached:
			return
		case mayHaveGone:
			next = reached
		case n == 1:
			next = unreached
		}
		if o.requests.CompareAndSwap(n, next) {
			return
		}
	}
}

// A sighting is what a RoundTripper tells of a request's connections. One that tells nothing
// may have sent the request.
type sighting struct{ sought, got atomic.Bool }

// of returns req as one that is watched.
func (s *sighting) of(req *http.Request) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { s.sought.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { s.got.Store(true) },
	}))
}

// mayHaveGone reports whether a request that ended with err may have been sent: not if a
// connection was sought for it, and none was had.
func (s *sighting) mayHaveGone(err error) bool { return err == nil || !s.sought.Load() || s.got.Load() }
