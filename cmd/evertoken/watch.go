package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/refresh"
)

// watchCmd keeps the session alive in the foreground.
type watchCmd struct{}

// Help is shown below the command's flags.
func (watchCmd) Help() string {
	return `Prints one line for each thing that happens. Stop it with Ctrl-C or SIGTERM; a renewal under way is finished first. If the session ends, it waits for a login in another terminal.

` + example("watch --profile work")
}

// Run runs until ctx ends, or until its output is closed.
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
		return exit.Silent(exit.Login) // said when it happened
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
	text := w.app.guide().Event(e)
	if text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.app.print("%s  %s", e.Time.Local().Format(time.TimeOnly), text); err != nil {
		w.unread(err)
	}
}
