package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/chance"
	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/dormant"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/reach"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/session"
	"github.com/evertoken/evertoken/tokenstore"
)

const (
	// pageSize is how many records are in memory at a time, twice: those of the page that
	// is being opened and of the one that is being read.
	pageSize = 1000
	// openers is how many sessions are opened at a time. It counts for a Store without
	// pages, where each of them waits for a call of its own.
	openers = 64
	// holdBack is how long sessions that are due wait for others that may be due sooner.
	holdBack = time.Second
	// maxFailures is how many sessions that could not be opened an error names.
	maxFailures = 100
)

// A restorer opens all sessions of the engine's Store.
type restorer struct {
	e      *Engine
	cfg    *session.Config // of the Store
	create func(name string) *Member
	cancel context.CancelCauseFunc

	mu     sync.Mutex // guards the fields below
	held   []held
	opened int
	failed []error // the first few
	lost   int     // how many there are of them
}

// A held is a run that is to be looked at.
type held struct {
	run  *run
	at   moment.Instant // before now: it is due
	ends moment.Instant // of the token of one that is due; zero: not known
}

// Restore opens all sessions of the Store, which cfg is about, and returns how many are
// open then.
func (e *Engine) Restore(ctx context.Context, cfg *session.Config, create func(name string) *Member) (opened int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &restorer{e: e, cfg: cfg, create: create, cancel: cancel}
	err = r.openAll(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("refresh: restore: %w", cause)
	}
	opened = min(r.opened, e.Count()) // a Store that changes meanwhile may list a session twice
	return opened, errors.Join(append(r.failures(), err)...)
}

// openAll opens all sessions of the Store. A callback that ends a goroutine of it has failed
// for one session, or for the list. A Store that does not return is not waited for when ctx
// has ended.
func (r *restorer) openAll(ctx context.Context) error {
	defer r.queueHeld()
	defer r.queueEvery(holdBack)()
	sessions := make(chan tokenstore.Entry, pageSize)
	listed := failure.Apart("Store.Pages", func() error {
		defer close(sessions)
		return r.list(ctx, sessions)
	})
	var open sync.WaitGroup
	var work func()
	work = func() {
		over := false
		defer func() {
			if !over {
				open.Go(work)
			}
		}()
		for s := range received(ctx, sessions) {
			r.open(ctx, s)
		}
		over = true
	}
	for range openers {
		open.Go(work)
	}
	open.Wait()
	return reach.Await(ctx, listed)
}

// received yields what comes from a channel, until it is closed or ctx ends.
func received(ctx context.Context, sessions <-chan tokenstore.Entry) iter.Seq[tokenstore.Entry] {
	return func(yield func(tokenstore.Entry) bool) {
		for {
			select {
			case s, ok := <-sessions:
				if !ok || !yield(s) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// list sends all sessions of the Store, with their records if it reads them by the page.
func (r *restorer) list(ctx context.Context, sessions chan<- tokenstore.Entry) error {
	send := func(page []tokenstore.Entry) bool {
		for _, s := range page {
			select {
			case sessions <- s:
			case <-ctx.Done():
				return false
			}
		}
		return true
	}
	err := errors.ErrUnsupported
	if pager, ok := r.cfg.Records.(tokenstore.Pager); ok {
		err = failure.Guard("Store.Pages", func() error {
			for page, err := range pager.Pages(ctx, pageSize) {
				if err != nil || !send(page) {
					return err
				}
			}
			return nil
		})
	}
	if errors.Is(err, errors.ErrUnsupported) {
		lister, ok := r.cfg.Store.(tokenstore.Lister)
		if !ok {
			return fmt.Errorf("refresh: the Store cannot list its sessions: %w", oauth.ErrMisconfigured)
		}
		err = failure.Guard("Store.Names", func() error {
			names, err := lister.Names(ctx)
			for _, name := range names {
				if err != nil || !send([]tokenstore.Entry{{Name: name}}) {
					break
				}
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("refresh: listing the sessions: %w", err)
	}
	return nil
}

// open opens a session.
func (r *restorer) open(ctx context.Context, s tokenstore.Entry) {
	if ctx.Err() != nil {
		return
	}
	o := opening{create: r.create, queue: r.hold}
	if s.Record != nil && s.Record.Tokens != nil {
		o.saved = &session.Saved{Record: s.Record, Stamp: session.Stamp{Value: s.Stamp, Known: r.cfg.Stamper != nil}}
	}
	err := errExited
	defer func() { r.openedOne(ctx, err) }()
	_, err = r.e.open(ctx, s.Name, o)
}

// openedOne notes what became of a session.
func (r *restorer) openedOne(ctx context.Context, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.opened++
	case errors.Is(err, session.ErrStopped):
		r.cancel(err)
	case ctx.Err() != nil, errors.Is(err, oauth.ErrLoginRequired): // given up, or just deleted
	default:
		if r.lost++; r.lost <= maxFailures {
			r.failed = append(r.failed, err)
		}
	}
}

// failures returns what kept sessions from being opened.
func (r *restorer) failures() []error {
	if more := r.lost - len(r.failed); more > 0 {
		return append(r.failed, fmt.Errorf("refresh: %d more sessions could not be opened", more))
	}
	return r.failed
}

// hold keeps a run back until it is known which ones are due soonest. One that is at rest
// is looked at within a check interval, each at a time of its own.
func (r *restorer) hold(run *run) {
	m := run.m
	cfg, now := m.cfg.Session, m.Now()
	h := held{run: run, at: now}
	m.mu.Lock()
	packed, awake := m.packed, m.awake != nil
	m.mu.Unlock()
	if !awake {
		share := chance.Of(cfg.Clock, m.name, schedule.JitterOf)
		h.at = now.Add(time.Duration(float64(cfg.CheckInterval) * share)).Or(dormant.Outlook(packed).Due)
	} else if cur := m.cur.Load(); cur != nil && cur.Ends() != moment.Never {
		h.ends = cur.Ends()
		h.at = now.Or(h.ends.Add(-cfg.RefreshThreshold))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = append(r.held, h)
}

// queueHeld lets the queue have the runs that are held back. Those that are due come in the
// order in which their tokens end and, if there are many, over half a check interval, or
// half of what their tokens live if that is less: as fast as the gate would let them renew,
// so that each is looked at once.
func (r *restorer) queueHeld() {
	now, opts := moment.Of(r.cfg.Clock.Now()), &r.e.opts
	gap := opts.CheckInterval / 2 / time.Duration(max(r.e.Count(), 1))
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortFunc(r.held, func(a, b held) int { return cmp.Compare(a.at.Mono(), b.at.Mono()) })
	for i, h := range r.held {
		if now.Reached(h.at) {
			h.at = now.Add(time.Duration(max(i-opts.Workers, 0)) * gap)
			if left := now.Until(h.ends); left > 0 {
				h.at = h.at.Or(now.Add(left / 2))
			}
		}
		h.run.life.queue.AddAt(h.run, h.at)
	}
	r.held = nil
}

// queueEvery calls queueHeld now and then, until stop is called.
func (r *restorer) queueEvery(interval time.Duration) (stop func()) {
	ticker, over := r.cfg.Clock.Ticker(interval), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-ticker.C:
				r.queueHeld()
			case <-over:
				return
			}
		}
	})
	return func() {
		ticker.Stop()
		close(over)
		done.Wait()
	}
}
