package explain

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// Event tells an event to people; "" for one that people need not know.
func (g Guide) Event(e refresh.Event) string {
	switch e.Kind {
	case refresh.EventStarted:
		return "watching; access token " + text.Until(e.ExpiresAt, e.Time)
	case refresh.EventRefreshing:
		return "renewing"
	case refresh.EventRefreshed:
		return "renewed; access token " + text.Until(e.ExpiresAt, e.Time)
	case refresh.EventAdopted:
		return "renewed by another process; access token " + text.Until(e.ExpiresAt, e.Time)
	case refresh.EventRefreshFailed:
		return "not renewed: " + Short(e.Err) + Next(e)
	case refresh.EventMisconfigured:
		return "not renewed: " + Short(e.Err) + "; a setting has to be changed" + Next(e)
	case refresh.EventLoginRequired:
		return "the server has ended the session: " + Short(e.Err) + "; " + g.LoginAdvice()
	case refresh.EventSuspected:
		return "the session has probably ended: the server keeps refusing it: " + Short(e.Err) + "; " + g.LoginAdvice() + Next(e)
	case refresh.EventRecovered:
		return "all is well again"
	case refresh.EventLoggedOut:
		return "logged out; " + g.LoginAdvice()
	case refresh.EventSaveFailed:
		return "renewed, but NOT SAVED: " + Short(e.Err) + Next(e)
	case refresh.EventCopied:
		return "the saved session was copied here from another machine or directory, and only one of the two can go on with it; if it is still used there, " + g.LoginAdvice()
	case refresh.EventOldCopy:
		return "an older copy of the saved session was put back: " + Short(e.Err)
	case refresh.EventSaved:
		return "saved"
	case refresh.EventScopeReduced:
		return "the new access token has fewer scopes than the one before"
	case refresh.EventRefreshTokenEnding:
		return "the session will expire soon; log in again before that"
	case refresh.EventStopped:
		return "stopped"
	}
	return ""
}

// Next says when the next attempt is.
func Next(e refresh.Event) string {
	if e.NextAttempt.IsZero() {
		return ""
	}
	return "; next try in " + text.Brief(max(e.NextAttempt.Sub(e.Time), time.Second))
}

// Short is an error in few words for people.
func Short(err error) string {
	var (
		fail  *oauth.Error
		errno syscall.Errno
	)
	switch {
	case err == nil:
		return "no reason given"
	case errors.Is(err, oauth.ErrRefreshTokenRequired):
		return "there is no refresh token"
	case errors.As(err, &errno):
		return errno.Error()
	case !errors.As(err, &fail):
		return Text(err)
	case fail.Code != "":
		return fmt.Sprintf("%s (HTTP %d)", fail.Code, fail.Status)
	case fail.Status >= 300:
		return fmt.Sprintf("HTTP %d", fail.Status)
	case fail.Err != nil:
		return Text(fail.Err)
	}
	return Text(err)
}
