package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// What the server says to a logout decides whether the session is removed, and what the
// caller learns.
func TestWhatTheServerSaysToALogout(t *testing.T) {
	refusal := func(kind error) error { return &oauth.Error{Op: "revoke", Kind: kind, Status: 401, Sent: true} }
	for name, tt := range map[string]struct {
		says    error
		err     error
		removed bool
	}{
		"it is revoked":            {nil, nil, true},
		"it was over":              {refusal(oauth.ErrLoginRequired), nil, true},
		"it is not revoked":        {refusal(oauth.ErrMisconfigured), oauth.ErrNotRevoked, true},
		"it is not even asked":     {&oauth.Error{Op: "revoke", Kind: oauth.ErrMisconfigured}, oauth.ErrMisconfigured, false},
		"the same, in other words": {oauth.ErrNotRevoked, oauth.ErrNotRevoked, true},
		"the program cannot":       {oauth.ErrMisconfigured, oauth.ErrNotRevoked, true},
		"later":                    {refusal(oauth.ErrTransient), oauth.ErrTransient, false},
		"an odd error":             {context.DeadlineExceeded, context.DeadlineExceeded, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			d, revoked := newDesk(t), []string(nil)
			d.cfg.Revoke = func(_ context.Context, tokens *oauth.TokenPair) error {
				d.holding(t, 1)
				revoked = append(revoked, tokens.RefreshToken)
				tokens.RefreshToken = "its own"
				return tt.says
			}
			d.store.put(t, pair("2")) // which is the one to revoke
			err := d.Logout(t.Context())
			if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || tt.says != nil && tt.err != nil && !errors.Is(err, tt.says) {
				t.Errorf("error %v; want %v", err, tt.err)
			}
			if !slices.Equal(revoked, []string{"r2"}) {
				t.Errorf("revoked %v; want r2", revoked)
			}
			d.gone(t, tt.removed)
			d.holding(t, 0)
		})
	}
}

// gone fails the test unless the session is removed here and in the Store, or is neither.
func (d *desk) gone(t *testing.T, want bool) {
	t.Helper()
	_, err := d.store.Memory.Get(t.Context(), session)
	if errors.Is(err, tokenstore.ErrNotFound) != want || (d.Health().State == StateLoggedOut) != want || (d.rec == nil) != want {
		t.Errorf("removed: the Store says %v, state %v; want %t", err, d.Health().State, want)
	}
}

// What is logged out although the server is not asked.
func TestALogoutThatTheServerDoesNotHearOf(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(t *testing.T, d *desk)
		err    error
		asked  bool
	}{
		"by a Refresher that cannot": {func(_ *testing.T, d *desk) { d.cfg.Revoke = nil }, nil, false},
		"of a dead grant": {func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Dead = refusedFor(0, 1); rec.Dead.Certain = true })
		}, nil, false},
		"of no pair yet": {func(t *testing.T, d *desk) { d.store.remove(t); d.beginEmpty() }, nil, false},
		"of an access token": {func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens.RefreshToken = "" })
		}, nil, true},
		"of a refresh token": {func(t *testing.T, d *desk) {
			d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens.AccessToken = "" })
		}, nil, true},
		"that has taken place":    {func(t *testing.T, d *desk) { d.store.remove(t) }, nil, false},
		"without a Store":         {func(_ *testing.T, d *desk) { d.cfg.Store, d.cfg.Locker = nil, nil }, nil, true},
		"while the Store is away": {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrUnavailable }, tokenstore.ErrUnavailable, false},
		"while another has the lock": {func(t *testing.T, d *desk) {
			if _, err := d.store.Memory.Lock(t.Context(), session); err != nil {
				t.Fatal(err)
			}
		}, context.DeadlineExceeded, false},
		"with a lock that was kept": {func(t *testing.T, d *desk) { d.unsavedPair(t, pair("2")); d.store.locks = -1 }, nil, true},
	} {
		inBubble(t, name, func(t *testing.T) {
			d, asked := newDesk(t), false
			d.cfg.Revoke = func(context.Context, *oauth.TokenPair) error { asked = true; return nil }
			tt.before(t, d)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := d.Logout(ctx); !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("error %v; want %v", err, tt.err)
			}
			if asked != tt.asked {
				t.Errorf("the server is asked: %t; want %t", asked, tt.asked)
			}
			if removed := d.Health().State == StateLoggedOut || d.empty(); removed != (tt.err == nil) {
				t.Errorf("state %v", d.Health().State)
			}
			if d.store.locks > 1 || d.store.locks < 0 && d.store.locks != -1 {
				t.Errorf("locked %d times", d.store.locks)
			}
			d.holding(t, 0)
		})
	}
}

// What others have made of the session meanwhile is removed with it, but not a new login.
func TestWhatALogoutRemoves(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(t *testing.T, d *desk)
		stays     bool
		err       error
	}{
		"nothing":           {func(*testing.T, *desk) {}, false, nil},
		"a mark":            {func(t *testing.T, d *desk) { d.store.edit(t, askedToWait) }, false, nil},
		"a successor":       {func(t *testing.T, d *desk) { d.store.put(t, pair("2")) }, false, nil},
		"a login":           {func(t *testing.T, d *desk) { d.store.edit(t, func(rec *tokenstore.Record) { rec.Tokens = pair("x") }) }, true, nil},
		"a logout":          {func(t *testing.T, d *desk) { d.store.remove(t) }, false, nil},
		"the Store is away": {func(_ *testing.T, d *desk) { d.store.fails = tokenstore.ErrUnavailable }, true, tokenstore.ErrUnavailable},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Revoke = func(context.Context, *oauth.TokenPair) error { tt.meanwhile(t, d); return nil }
			if tt.err != nil { // found when the record is read again
				d.cfg.Revoke = func(context.Context, *oauth.TokenPair) error {
					d.store.edit(t, askedToWait)
					tt.meanwhile(t, d)
					return nil
				}
			}
			if err := d.Logout(t.Context()); !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("error %v; want %v", err, tt.err)
			}
			_, err := d.store.Memory.Get(t.Context(), session)
			if stays := err == nil; stays != tt.stays {
				t.Errorf("a record stays: %t; want %t", stays, tt.stays)
			}
			if out := d.Health().State == StateLoggedOut; out != (tt.err == nil) {
				t.Errorf("state %v", d.Health().State)
			}
		})
	}
}

// A logout waits for the server as long as a caller waits for a token, and a moment longer
// for an answer that is on its way, even from a program that ignores its context.
func TestALogoutWaitsForTheServer(t *testing.T) {
	deaf := func(wait time.Duration) func(context.Context) error {
		return func(context.Context) error { time.Sleep(wait); return nil }
	}
	for name, tt := range map[string]struct {
		revoke func(ctx context.Context) error
		want   time.Duration
		err    error
	}{
		"it answers":                {deaf(3 * time.Second), 3 * time.Second, nil},
		"it obeys":                  {func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }, 30 * time.Second, context.DeadlineExceeded},
		"it is deaf, and succeeds":  {deaf(30*time.Second + obedience/2), 30*time.Second + obedience/2, nil},
		"it is deaf, for very long": {deaf(time.Minute), 30*time.Second + obedience, errDeaf},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			var used context.Context
			d.cfg.Revoke = func(ctx context.Context, _ *oauth.TokenPair) error { used = ctx; return tt.revoke(ctx) }
			begun := time.Now()
			if err := d.Logout(t.Context()); !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("error %v; want %v", err, tt.err)
			}
			if took := time.Since(begun); took != tt.want {
				t.Errorf("took %v; want %v", took, tt.want)
			}
			synctest.Wait()
			if used.Err() == nil {
				t.Error("the context outlives the call")
			}
			time.Sleep(time.Minute)
			d.holding(t, 0)
		})
	}
}

// A Store that does not delete ends a logout with an error, and not the turn with it, on
// which a Stop and all callers wait.
func TestALogoutWaitsForTheStoreOnlySoLong(t *testing.T) {
	for name, tt := range map[string]struct {
		store func(d *desk) tokenstore.Store
		want  time.Duration
		err   error
		asks  int
	}{
		"it does not answer":                  {func(d *desk) tokenstore.Store { return deafToDelete{d.store} }, schedule.StoreTimeout, context.DeadlineExceeded, 1},
		"it is read from a replica that lags": {func(d *desk) tokenstore.Store { return newerThanRead{d.store} }, 0, tokenstore.ErrConflict, 5},
	} {
		inBubble(t, name, func(t *testing.T) {
			d := newDesk(t)
			d.cfg.Records = tt.store(d)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begun, gets := time.Now(), d.store.gets
			if err := d.Logout(ctx); !errors.Is(err, tt.err) {
				t.Errorf("error %v; want %v", err, tt.err)
			}
			if took := time.Since(begun); took != tt.want {
				t.Errorf("took %v; want %v", took, tt.want)
			}
			if asks := d.store.gets - gets; asks != tt.asks {
				t.Errorf("the record is read %d times; want %d", asks, tt.asks)
			}
			d.gone(t, false)
			d.holding(t, 0)
			d.cfg.Records = d.store
			if err := d.Logout(t.Context()); err != nil {
				t.Errorf("once more: %v", err)
			}
			d.gone(t, true)
		})
	}
}

// deafToDelete is a Store that answers no call of Delete before its context ends.
type deafToDelete struct{ *shelf }

func (s deafToDelete) Delete(ctx context.Context, _ string, _ uint64) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// newerThanRead is a Store that compares with a newer version than it returns.
type newerThanRead struct{ *shelf }

func (s newerThanRead) Delete(ctx context.Context, name string, version uint64) error {
	return s.Memory.Delete(ctx, name, version+1000)
}
