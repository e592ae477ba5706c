package session

import "github.com/evertoken/evertoken/internal/moment"

// A Kind says what happened; see refresh.EventKind.
type Kind string

// The kinds of events that package refresh describes.
const (
	EventRefreshing         Kind = "refreshing"
	EventUnlocked           Kind = "unlocked"
	EventRefreshed          Kind = "refreshed"
	EventAdopted            Kind = "adopted"
	EventRefreshFailed      Kind = "refresh_failed"
	EventMisconfigured      Kind = "misconfigured"
	EventLoginRequired      Kind = "login_required"
	EventSuspected          Kind = "suspected"
	EventRecovered          Kind = "recovered"
	EventLoggedOut          Kind = "logged_out"
	EventOtherAccount       Kind = "other_account"
	EventSaveFailed         Kind = "save_failed"
	EventSaved              Kind = "saved"
	EventScopeReduced       Kind = "scope_reduced"
	EventIDTokenRejected    Kind = "id_token_rejected"
	EventRefreshTokenEnding Kind = "refresh_token_ending"
	EventChecked            Kind = "checked"
)

// An Event is something that happened to a session.
type Event struct {
	Kind Kind
	Err  error          // why, if it is a failure
	Next moment.Instant // when the next attempt is, if it is a failure
}
