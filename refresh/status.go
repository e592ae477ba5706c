package refresh

import (
	"encoding/json"
	"time"
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
	s, h := m.view()
	st := statusOf(m.session, s, h, m.now())
	st.IsRunning = m.IsRunning()
	return st
}

// statusOf says how a session fares that readers see as s, which may be nil.
func statusOf(session string, s *snapshot, h *health, now time.Time) *RefreshStatus {
	st := &RefreshStatus{
		LastRefreshAt: h.renewed,
		Session:       session,
		State:         h.state,
		NextAttempt:   h.next.Round(0),
		Failures:      h.failures,
		Unsaved:       h.unsaved != nil,
	}
	if h.err != nil {
		st.LastError = h.err.Error()
	}
	if h.unsaved != nil {
		st.SaveError = h.unsaved.Error()
	}
	if s == nil {
		return st
	}
	st.ExpiresAt, st.RefreshExpiresAt, st.ClockSkew = s.pair.ExpiresAt, s.pair.RefreshExpiresAt, s.pair.Skew
	st.RefreshAt = s.dueAt(now)
	st.NeedsRefresh = s.isDue(now) && !h.ended()
	if !st.ExpiresAt.IsZero() {
		st.TimeUntilExpiry = st.ExpiresAt.Sub(now.Round(0))
	}
	if !st.RefreshAt.IsZero() {
		st.TimeUntilRefresh = st.RefreshAt.Sub(now.Round(0))
	}
	return st
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
