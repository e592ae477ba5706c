package connect

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
	"github.com/evertoken/evertoken/tokenstore"
)

// A flight is work that callers wait for; err is written before done closes.
type flight struct {
	need need // what it asks for
	done chan struct{}
	err  error
}

// A workFunc returns the login that takes the place of seen and gives what n is.
type workFunc func(ctx context.Context, seen *login, n need) (*login, error)

// A need is what a caller wants of a login besides that there is one: more scope, or a login of
// another kind, by the API's challenge. The zero need is none.
type need struct{ want challenge.Challenge }

func needOf(header http.Header) need {
	if !wantsMore(header) {
		return need{}
	}
	return need{wanted(header)}
}

func (n need) isNone() bool { return n.want.Code() == "" }

// covers reports whether who waits for n gets what m is, or learns that it is not to be had.
func (n need) covers(m need) bool {
	switch {
	case n.isNone() || m.isNone():
		return n.isNone() && m.isNone()
	case n.want.WantsLogin() || m.want.WantsLogin():
		same := func(name string) bool { return n.want.Params[name] == m.want.Params[name] }
		return same("error") && same("acr_values") && same("max_age")
	}
	return containsAll(n.want.Scopes(), m.want.Scopes())
}

// maxScopes bounds, in bytes, what the needs of several callers are together: a login does not
// ask for more than 4 KiB.
const maxScopes = 4 << 10

// and returns n with the scope of another need, if that is one for scope too.
func (n need) and(m need) need {
	if n.isNone() || m.isNone() || n.want.WantsLogin() || m.want.WantsLogin() {
		return n
	}
	union := strings.Join(oauth.UnionScopes(n.want.Scopes(), m.want.Scopes()), " ")
	if len(union) > maxScopes {
		return n
	}
	n.want.Params = maps.Clone(n.want.Params)
	n.want.Params["scope"] = union
	return n
}

// gives reports whether l was asked for what n is, or has got it. No other login would do more.
func (l *login) gives(n need) bool {
	if l == nil || n.isNone() {
		return true
	}
	cfg := l.client.Config()
	if n.want.WantsLogin() {
		same := func(name string) bool { return cfg.AuthParams.Get(name) == n.want.Params[name] }
		return same("acr_values") && same("max_age")
	}
	scopes := cfg.Scopes
	if pair := l.manager.GetTokens(); pair != nil {
		scopes = oauth.UnionScopes(scopes, pair.Scopes())
	}
	return containsAll(scopes, n.want.Scopes())
}

func containsAll(list, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(list, name) })
}

// share has work done that replaces the login seen. Callers share it, and who leaves does
// not end it for the others: the person may be at the browser already. A caller that needs
// something else than what is under way waits for the end of that, and then for what gives all
// that callers wait for by then, so that a person is asked once for it.
func (s *Session) share(ctx context.Context, seen *login, n need, work workFunc) error {
	defer s.need(&n)()
	for {
		f, covers, err := s.board(&seen, &n, work)
		if f == nil {
			return err
		}
		select {
		case <-f.done:
			if covers {
				return f.err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// need notes what a caller needs, until the function that it returns is called.
func (s *Session) need(n *need) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.needs = append(s.needs, n)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.needs = slices.DeleteFunc(s.needs, func(other *need) bool { return other == n })
	}
}

// board returns the flight under way, or begins one, and whether it covers what the caller
// needs. It returns none if there is nothing to wait for.
func (s *Session) board(seen **login, n *need, work workFunc) (f *flight, covers bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.cur.Load(); now != *seen {
		if now.gives(*n) {
			return nil, false, nil
		}
		*seen = now
	}
	if *seen == nil {
		*n = need{} // a first login is one for all
	}
	if f := s.flight; f != nil {
		return f, f.need.covers(*n), nil
	}
	if s.ctx.Err() != nil {
		return nil, false, errClosed
	}
	f = &flight{need: *n, done: make(chan struct{})}
	for _, other := range s.needs {
		if !(*seen).gives(*other) {
			f.need = f.need.and(*other)
		}
	}
	s.flight = f
	replaced := *seen
	s.flights.Go(func() { s.fly(f, replaced, work) })
	return f, true, nil
}

// fly does what a flight is for.
func (s *Session) fly(f *flight, seen *login, work workFunc) {
	next, err := work(s.ctx, seen, f.need)
	s.mu.Lock()
	if err == nil {
		s.cur.Store(next)
	}
	if !errors.Is(err, tokenstore.ErrSealed) {
		s.found = place{}
	}
	f.err, s.flight = err, nil
	close(f.done)
	s.mu.Unlock()
	if err == nil && seen != nil && seen.manager != next.manager {
		seen.manager.Stop()
	}
}
