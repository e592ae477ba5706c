package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// watchCmd keeps the session alive in the foreground.
type watchCmd struct{}

// Help is shown below the command's flags.
func (watchCmd) Help() string {
	return `Prints one line for each thing that happens. Stop it with Ctrl-C or SIGTERM; a renewal under way is finished first. If the session ends, it waits for a login in another terminal.`
}

// Run runs until ctx ends, or until nobody reads what it prints.
func (watchCmd) Run(ctx context.Context, a *app) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w := &watcher{app: a, unread: stop}
	cfg := s.config()
	cfg.ShortLived, cfg.OnEvent = false, w.event
	m := refresh.NewManager(cfg)
	if err := m.Start(context.WithoutCancel(ctx), nil); err != nil {
		return err
	}
	<-ctx.Done()
	if err := a.finish(ctx, m); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	if st := m.GetRefreshStatus().State; st == refresh.StateLoginRequired || st == refresh.StateSuspected {
		return silent(exitLogin) // said when it happened
	}
	return nil
}

// A watcher prints events.
type watcher struct {
	app    *app
	unread context.CancelCauseFunc // the output is gone

	mu sync.Mutex // guards the output: events come from several goroutines
}

func (w *watcher) event(e refresh.Event) {
	text := w.app.eventText(e)
	if text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.app.print("%s  %s", e.Time.Local().Format(time.TimeOnly), text); err != nil {
		w.unread(err)
	}
}

// eventText tells an event to people; "" for one that nobody needs to know.
func (a *app) eventText(e refresh.Event) string {
	switch e.Kind {
	case refresh.EventStarted:
		return "watching; the access token lives until " + when(e.ExpiresAt, e.Time)
	case refresh.EventRefreshing:
		return "renewing"
	case refresh.EventRefreshed:
		return "renewed; the access token lives until " + when(e.ExpiresAt, e.Time)
	case refresh.EventAdopted:
		return "renewed by another process; the access token lives until " + when(e.ExpiresAt, e.Time)
	case refresh.EventRefreshFailed:
		return "not renewed: " + errorText(e.Err) + tryNext(e)
	case refresh.EventMisconfigured:
		return "not renewed: " + errorText(e.Err) + "; somebody has to change the configuration" + tryNext(e)
	case refresh.EventLoginRequired:
		return "the server has ended the session: " + errorText(e.Err) + "; " + a.loginAdvice()
	case refresh.EventSuspected:
		return "the session has probably ended: the server keeps refusing it: " + errorText(e.Err) + "; " + a.loginAdvice() + tryNext(e)
	case refresh.EventRecovered:
		return "all is well again"
	case refresh.EventLoggedOut:
		return "logged out; " + a.loginAdvice()
	case refresh.EventSaveFailed:
		return "renewed, but NOT SAVED: " + errorText(e.Err) + tryNext(e)
	case refresh.EventSaved:
		return "saved"
	case refresh.EventScopeReduced:
		return "the new access token may do less than the one before"
	case refresh.EventRefreshTokenEnding:
		return "the session comes to its end; log in again before that"
	case refresh.EventStopped:
		return "stopped"
	}
	return ""
}

// tryNext says when the next attempt is.
func tryNext(e refresh.Event) string {
	if e.NextAttempt.IsZero() {
		return ""
	}
	return "; next try in " + brief(max(e.NextAttempt.Sub(e.Time), time.Second))
}

// errorText is an error in few words for people.
func errorText(err error) string {
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
		return plainText(err)
	case fail.Code != "":
		return fmt.Sprintf("%s (HTTP %d)", fail.Code, fail.Status)
	case fail.Status >= 300:
		return fmt.Sprintf("HTTP %d", fail.Status)
	case fail.Err != nil:
		return fail.Err.Error()
	}
	return plainText(err)
}
