package refresh

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/engine"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/session"
)

// visits are the times for which a manager that is not running runs all the same, each for
// one ForceRefresh. To the program it is stopped meanwhile. Start and visits take turns.
type visits struct {
	turn chan struct{} // holds a token while a Start is under way, or a visit

	mu      sync.Mutex    // guards what follows; never held across I/O
	current chan struct{} // closed at the visit's end; nil if there is none
	runs    bool          // it has started the manager
}

func newVisits() *visits { return &visits{turn: make(chan struct{}, 1)} }

// take waits for the turn, as long as ctx allows. The caller gives it back by receiving
// from v.turn.
func (v *visits) take(ctx context.Context) error {
	select {
	case v.turn <- struct{}{}: // whatever ctx says: others judge that
		return nil
	default:
	}
	select {
	case v.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// between calls start when no visit is in its way.
func (v *visits) between(ctx context.Context, start func() error) error {
	if err := v.take(ctx); err != nil {
		return fmt.Errorf("refresh: start: %w", err)
	}
	defer func() { <-v.turn }()
	return start()
}

// begin notes that a visit begins. The caller has the turn.
func (v *visits) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.current, v.runs = make(chan struct{}), false
}

// end notes that the visit has ended, and gives the turn back.
func (v *visits) end() {
	v.mu.Lock()
	close(v.current)
	v.current = nil
	v.mu.Unlock()
	<-v.turn
}

// now returns what is closed at the end of the visit in progress, or nil.
func (v *visits) now() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.current == nil {
		return nil
	}
	return v.current
}

// hides reports whether an event is the start or the stop of a visit, and not the stop of
// the run before it.
func (v *visits) hides(e session.Event) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.current == nil:
		return false
	case e.Kind == engine.EventStarted:
		v.runs = true
		return true
	}
	return e.Kind == engine.EventStopped && v.runs
}

// hiding returns emit without the starts and stops of visits.
func (v *visits) hiding(emit func(string, session.Event, time.Time)) func(string, session.Event, time.Time) {
	return func(name string, e session.Event, expiresAt time.Time) {
		if !v.hides(e) {
			emit(name, e, expiresAt)
		}
	}
}

// visit runs the manager for one refresh. The caller's context ends the wait alone: then the
// visit ends behind the caller's back, when the refresh has.
func (m *Manager) visit(ctx context.Context) error {
	before := m.GetTokens()
	if err := m.visits.take(ctx); err != nil {
		return fmt.Errorf("refresh: waiting for a refresh: %w", err)
	}
	// A visit that was in progress has renewed the tokens, or a Start was.
	if renewed := m.renewedSince(before); renewed || m.m.IsRunning() {
		<-m.visits.turn
		if renewed {
			return nil
		}
		return m.m.Force(ctx)
	}
	m.visits.begin()
	done := make(chan error, 1)
	go func() {
		err := failure.Exited("a callback")
		defer func() {
			m.visits.end()
			done <- err
		}()
		err = m.runOnce(context.WithoutCancel(ctx), before)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("refresh: waiting for a refresh: %w", context.Cause(ctx))
	}
}

// runOnce starts the manager, renews its tokens unless they are others than before by then,
// and stops it.
func (m *Manager) runOnce(ctx context.Context, before *oauth.TokenPair) error {
	// A look would renew a dead token, and Force then its successor.
	if err := m.m.StartUnqueued(ctx); err != nil {
		return err
	}
	defer func() { _ = m.m.Close(context.Background(), false) }()
	if m.renewedSince(before) {
		return nil // by a refresh that was still under way, or by another process
	}
	return m.m.Force(ctx)
}

// renewedSince reports whether the manager holds other tokens than before.
func (m *Manager) renewedSince(before *oauth.TokenPair) bool {
	now := m.GetTokens()
	return now != nil && before != nil && now.AccessToken != before.AccessToken
}
