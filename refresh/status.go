package refresh

import (
	"encoding/json"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

// State is how a session fares.
type State string

const (
	// StateNone: the manager has no session yet.
	StateNone = State(session.StateNone)
	// StateValid: the last word of the server was a token pair.
	StateValid = State(session.StateValid)
	// StateRetrying: the last attempt failed; nothing is lost, and the manager
	// tries again.
	StateRetrying = State(session.StateRetrying)
	// StateMisconfigured: the server refuses the client, or a person has to change
	// something else first; retried slowly.
	StateMisconfigured = State(session.StateMisconfigured)
	// StateSuspected: the server has been refusing the session for a while without
	// saying why, and the access token has died. A login probably helps; the session
	// is kept, and tried again ever more rarely.
	StateSuspected = State(session.StateSuspected)
	// StateLoginRequired: the server ended the session. The pair is kept, and a
	// newer one in the Store, or UpdateTokens, revives it.
	StateLoginRequired = State(session.StateLoginRequired)
	// StateLoggedOut: the session was removed from the Store.
	StateLoggedOut = State(session.StateLoggedOut)
)

// RefreshStatus is how a session fares at one moment. It marshals to JSON with
// times in RFC 3339 and durations in seconds, and holds no secret.
type RefreshStatus struct {
	// IsRunning: the manager keeps the session alive.
	IsRunning bool
	// NeedsRefresh: a refresh is due now.
	NeedsRefresh bool
	// ExpiresAt is when the access token dies; zero if not known.
	ExpiresAt time.Time
	// RefreshAt is when a refresh is due; zero: when the token is rejected.
	RefreshAt time.Time
	// LastRefreshAt is when the session was last renewed; zero if not known.
	LastRefreshAt time.Time
	// TimeUntilExpiry and TimeUntilRefresh count from now; negative if past,
	// zero if the time is not known.
	TimeUntilExpiry  time.Duration
	TimeUntilRefresh time.Duration

	// Session is the session's name.
	Session string
	// State is how the session fares.
	State State
	// LastError is why, if not well; empty otherwise.
	LastError string
	// NextAttempt is when the manager tries again after a failure; zero if none.
	NextAttempt time.Time
	// Failures counts the failed attempts in a row.
	Failures int
	// Unsaved: the current pair could not be saved yet. SaveError says why.
	Unsaved   bool
	SaveError string
	// RefreshExpiresAt is when the refresh token dies; zero if not known.
	RefreshExpiresAt time.Time
	// ClockSkew is how far the local clock is ahead of the server's, if it is.
	ClockSkew time.Duration
}

// GetRefreshStatus returns how the session fares. It never blocks.
func (m *Manager) GetRefreshStatus() *RefreshStatus {
	s, h := m.m.View()
	st := statusOf(m.m.Name(), s, h, m.m.Now())
	st.IsRunning = m.IsRunning()
	return st
}

// statusOf says how a session fares that readers see as s, which may be nil.
func statusOf(name string, s *snapshot.Snapshot, h *session.Health, now moment.Instant) *RefreshStatus {
	st := &RefreshStatus{
		LastRefreshAt: h.Renewed,
		Session:       name,
		State:         State(h.State),
		NextAttempt:   h.Next.Wall(),
		Failures:      h.Failures,
		Unsaved:       h.Unsaved != nil,
	}
	if h.Err != nil {
		st.LastError = outside.Show(h.Err.Error())
	}
	if h.Unsaved != nil {
		st.SaveError = outside.Show(h.Unsaved.Error())
	}
	if s == nil {
		return st
	}
	st.ExpiresAt, st.RefreshExpiresAt, st.ClockSkew = s.Pair.ExpiresAt, s.Pair.RefreshExpiresAt, s.Pair.Skew
	st.RefreshAt = s.DueAt(now)
	st.NeedsRefresh = s.IsDue(now) && !h.Ended()
	if !st.ExpiresAt.IsZero() {
		st.TimeUntilExpiry = st.ExpiresAt.Sub(now.Wall())
	}
	if !st.RefreshAt.IsZero() {
		st.TimeUntilRefresh = st.RefreshAt.Sub(now.Wall())
	}
	return st
}

// Judge says how a saved session fares at the given time, as a manager with this
// configuration would that starts with it: by the same rules, but for the jitter by
// which each process renews a little earlier. It sends no request, starts nothing, and
// leaves rec alone, so it suits a command that looks at a session and ends. Nothing
// of cfg is required; its OAuthClient tells how long an unused refresh token lives.
// A nil rec, or one without tokens, counts as no session ([StateNone]).
//
// IsRunning, Failures, Unsaved and SaveError are about managers and stay zero. A
// session whose tokens have both expired by what the server said of them counts as
// ended (StateLoginRequired), and one that has been refused for long as suspected
// (StateSuspected), although a manager would ask the server once more. If cfg has the
// Store, an older copy that was put back there is noticed ([Config.Witness]): it counts
// as ended ([ErrOldCopy]) once its access token is dead, and as in trouble before that,
// since a process that has the newer pair may save it yet.
func Judge(cfg Config, rec *tokenstore.Record, now time.Time) *RefreshStatus {
	s := &setup{Config: cfg.withDefaults()}
	at := moment.Of(now)
	shown, h := s.session().Judge(s.Session, rec, at)
	return statusOf(s.Session, shown, h, at)
}

// MarshalJSON writes the status for scripts: unknown times are left out.
func (s RefreshStatus) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Session          string    `json:"session"`
		State            State     `json:"state"`
		IsRunning        bool      `json:"is_running"`
		NeedsRefresh     bool      `json:"needs_refresh"`
		ExpiresAt        time.Time `json:"expires_at,omitzero"`
		RefreshAt        time.Time `json:"refresh_at,omitzero"`
		LastRefreshAt    time.Time `json:"last_refresh_at,omitzero"`
		TimeUntilExpiry  float64   `json:"time_until_expiry"`
		TimeUntilRefresh float64   `json:"time_until_refresh"`
		LastError        string    `json:"last_error,omitempty"`
		NextAttempt      time.Time `json:"next_attempt,omitzero"`
		Failures         int       `json:"failures,omitempty"`
		Unsaved          bool      `json:"unsaved,omitempty"`
		SaveError        string    `json:"save_error,omitempty"`
		RefreshExpiresAt time.Time `json:"refresh_expires_at,omitzero"`
		ClockSkew        float64   `json:"clock_skew,omitempty"`
	}{
		s.Session, s.State, s.IsRunning, s.NeedsRefresh, s.ExpiresAt, s.RefreshAt, s.LastRefreshAt,
		s.TimeUntilExpiry.Seconds(), s.TimeUntilRefresh.Seconds(), s.LastError, s.NextAttempt, s.Failures,
		s.Unsaved, s.SaveError, s.RefreshExpiresAt, s.ClockSkew.Seconds(),
	})
}
