package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/evertoken/evertoken/internal/chance"
	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/tokenstore"
)

// get reads the session's record. A panic in the Store is an error. Without a
// Store the record in memory is the one that is kept, and only the turn's holder
// may read it.
func (s *Session) get(ctx context.Context) (rec *tokenstore.Record, err error) {
	if s.cfg.Store == nil {
		if s.rec == nil {
			return nil, tokenstore.ErrNotFound
		}
		return s.rec.Clone(), nil
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, schedule.StoreTimeout)
	defer cancel()
	err = failure.Guard("Store.Get", func() error {
		rec, err = s.cfg.Records.Get(ctx, s.name)
		return err
	})
	s.cfg.Reach.Read(caller, s.now(), err)
	switch {
	case err != nil:
		return nil, err // whatever came beside it
	case rec == nil || rec.Tokens == nil:
		return nil, errors.New("the Store returned a record without tokens")
	}
	return rec, nil
}

// ReadStamp asks the Store for the record's stamp. It is not known if the Store has
// none, or cannot say. Safe for concurrent use.
func (c *Config) ReadStamp(ctx context.Context, name string) (stamp Stamp) {
	if c.Stamper == nil {
		return Stamp{}
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, schedule.StoreTimeout)
	defer cancel()
	err := failure.Guard("Store.Stamp", func() (err error) {
		stamp.Value, err = c.Stamper.Stamp(ctx, name)
		return err
	})
	c.Reach.Read(caller, moment.Of(c.Clock.Now()), err)
	stamp.Known = err == nil
	return stamp
}

// set writes rec and, on success, gives it its new version. It outlives ctx's
// cancellation: what is to be saved must be. An empty session is not kept.
func (s *Session) set(ctx context.Context, rec *tokenstore.Record) error {
	if s.cfg.Store == nil || isEmpty(rec) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), schedule.StoreTimeout)
	defer cancel()
	err := failure.Guard("Store.Set", func() error {
		version, err := s.cfg.Records.Set(ctx, s.name, rec)
		if err == nil {
			s.wrote(rec, version)
		}
		return err
	})
	s.tried(err)
	return err
}

// tried follows a write. What the Store said of the record before is not to be taken for
// its state now: an old copy that is put back has the stamp that it had.
func (s *Session) tried(err error) {
	s.stamp = Stamp{}
	s.cfg.Reach.Written(s.now(), err)
}

// A handing is a call of Config.TokenStore with a pair.
type handing struct {
	pair *oauth.TokenPair
	done <-chan error
}

// callTokenStore hands a copy of the pair to Config.TokenStore. One that does not return
// is not waited for any longer than a Store is: the pair is unsaved then. No other call
// begins before it has returned; if it saves the pair after all, none has to.
func (s *Session) callTokenStore(ctx context.Context, pair *oauth.TokenPair) error {
	if s.cfg.TokenStore == nil {
		return nil
	}
	if late := s.handing; late != nil {
		select {
		case err := <-late.done:
			s.handing = nil
			if err == nil && !differs(late.pair, pair) {
				return nil
			}
		default:
			return errDeafTokenStore
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), schedule.StoreTimeout)
	own := pair.Clone()
	call := &handing{pair, failure.Apart("TokenStore", func() error {
		defer cancel()
		return s.cfg.TokenStore(ctx, own)
	})}
	select {
	case err := <-call.done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-call.done:
		return err
	case <-time.After(obedience):
		s.handing = call
		return errDeafTokenStore
	}
}

// noLease stands in for the lease of a store that processes do not share, or that cannot
// be reached.
type noLease struct{ unshared bool }

func (noLease) Err() error              { return nil }
func (noLease) Unlock() error           { return nil }
func (l noLease) EndsWithProcess() bool { return l.unshared }

// wrote notes the version that rec was given.
func (s *Session) wrote(rec *tokenstore.Record, version uint64) {
	rec.Version = version
	copy(s.written[1:], s.written[:])
	s.written[0] = version
}

// settle is set for what a spend has brought, which ends the spend where it can, and the
// lease with it.
func (s *Session) settle(ctx context.Context, rec *tokenstore.Record) error {
	if s.spending == nil || s.later != nil {
		return s.set(ctx, rec)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), schedule.StoreTimeout)
	defer cancel()
	err := failure.Guard("Spending.Settle", func() error {
		version, err := s.spending.Settle(ctx, rec)
		if err == nil {
			s.wrote(rec, version)
		}
		return err
	})
	s.tried(err)
	return err
}

// A claim is the right to spend the refresh token.
type claim struct {
	tokenstore.Lease
	announced bool // the spend is in the Store
	lost      bool // as may another one be before it, of the same token
}

// claims reports whether claim is to be called: there is nothing to do between lock and
// announcement, nor a doubt whether the token may be sent.
func (s *Session) claims() bool {
	return s.cfg.Spender != nil && !s.plain && s.kept == nil && s.rec != nil && s.rec.Version != 0 &&
		!s.unsaved.any() && s.held == 0 && s.unchecked.err == nil && !s.lostForGood() &&
		!s.doubtful()
}

// claim takes the session's lock and announces the spend in one step. It fails with
// tokenstore.ErrConflict if the record is not the one that is known here.
func (s *Session) claim(ctx context.Context, r Run) (c claim, err error) {
	rec := s.announcement()
	c = claim{announced: true, lost: s.mayBeSpent()}
	defer s.answered(s.now())
	s.waitForLock(ctx, r, func(ctx context.Context) {
		err = failure.Guard("Store.BeginSpend", func() error {
			s.spending, rec.Version, err = s.cfg.Spender.BeginSpend(ctx, s.cfg.Store, s.name, rec, s.cfg.ShortLived || s.cfg.outlasts())
			if err == nil && s.spending == nil {
				err = errNoLease
			}
			return err
		})
	})
	if err != nil {
		s.spending = nil
		s.plain = errors.Is(err, errors.ErrUnsupported)
		return c, err
	}
	s.wrote(rec, rec.Version)
	s.rec, c.Lease, s.doubt.version = rec, s.spending, rec.Version
	return c, nil
}

// outlasts reports whether an announcement matters beyond the restart of a machine: the
// server still takes the token again then, or must never see it again.
func (c *Config) outlasts() bool {
	const restart = 30 * time.Second // the least in which a machine renews its sessions again
	return c.Grace > restart || c.Grace < 0
}

// waitForLock calls lock, which waits for the session's lock. A manager that is stopping
// does not wait for it.
func (s *Session) waitForLock(ctx context.Context, r Run, lock func(context.Context)) {
	life := r.Context()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.MaxWait)
	defer cancel()
	defer context.AfterFunc(life, cancel)()
	defer s.givesWay(cancel)()
	if life.Err() != nil {
		cancel() // now, and not on a goroutine that may come late
	}
	r.Lend(func() { lock(ctx) })
}

// HasLock notes that a caller has the session's lock and wants the turn: whoever has that
// and waits for the lock gives way, until done is called. Safe for concurrent use.
func (s *Session) HasLock() (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.locked++; s.giveWay != nil {
		s.giveWay()
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.locked--
	}
}

// givesWay lets HasLock end a wait for the lock with cancel, until done is called.
func (s *Session) givesWay(cancel context.CancelFunc) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.giveWay = cancel; s.locked > 0 {
		cancel()
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.giveWay = nil
	}
}

// inTheWay reports whether a caller of this process has the lock and wants the turn.
func (s *Session) inTheWay() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.locked > 0
}

// Lock takes the lock of the session with this name, which processes share. A panic in
// the Locker is an error, and so is a nil lease.
func (c *Config) Lock(ctx context.Context, name string) (lease tokenstore.Lease, err error) {
	err = failure.Guard("Store.Lock", func() error {
		lease, err = c.Locker.Lock(ctx, name)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case lease == nil:
		return nil, errNoLease
	}
	return lease, nil
}

// Unlock gives a lock back that Lock has taken. Safe for concurrent use.
func (c *Config) Unlock(lease tokenstore.Lease) error {
	if _, none := lease.(noLease); none {
		return nil
	}
	return c.Reach.Unlock(lease, schedule.StoreTimeout)
}

// lease takes the session's lock, or goes on with the one that was kept.
func (s *Session) lease(ctx context.Context, r Run) (lease tokenstore.Lease, err error) {
	if s.kept != nil {
		lease, s.kept = s.kept, nil
		if lease.Err() == nil {
			return lease, nil
		}
		s.spending = nil
		_ = s.cfg.Unlock(lease)
	}
	if s.cfg.Locker == nil {
		return noLease{unshared: true}, nil
	}
	defer s.answered(s.now())
	s.waitForLock(ctx, r, func(ctx context.Context) {
		lease, err = s.cfg.Lock(ctx, s.name)
		s.cfg.Reach.Read(ctx, s.now(), err)
	})
	if s.alone(err) && !s.inTheWay() {
		s.cfg.Logger.Warn("refreshing without the session's lock", "session", s.name, "error", err)
		s.host.Emit(Event{Kind: EventUnlocked, Err: err})
		return noLease{}, nil
	}
	return lease, err
}

// endLease releases a lease, or keeps it as long as the Store holds a refresh
// token that is spent, or one whose place another takes that is under way: no other
// process may take that for good.
func (s *Session) endLease(lease tokenstore.Lease) {
	switch {
	case s.unsaved.store:
		s.keep(lease)
		return
	case s.later != nil:
		s.keep(lease)
		s.spending = nil
		return
	}
	s.spending = nil
	if err := s.cfg.Unlock(lease); err != nil {
		s.cfg.Logger.Warn("lock not released", "session", s.name, "error", err)
	}
}

// keep keeps a lease. No caller in this process is to wait for it.
func (s *Session) keep(lease tokenstore.Lease) {
	s.kept = lease
	if s.keeps != nil {
		s.keeps()
		s.unkept, s.keeps = nil, nil
	}
}

// releaseSaved gives up the lease that was kept if there is no reason any more to keep it.
func (s *Session) releaseSaved() {
	if !s.unsaved.store && s.later == nil {
		s.releaseKept()
	}
}

// releaseKept gives up the lease that was kept, whatever for.
func (s *Session) releaseKept() {
	s.later = nil
	if lease := s.kept; lease != nil {
		s.kept, s.spending = nil, nil
		_ = s.cfg.Unlock(lease)
	}
}

// Everything in this file is called by the turn's holder.

// replace makes rec, a new login, the session: saved where it is to be, then
// shown.
func (s *Session) replace(ctx context.Context, rec *tokenstore.Record, places unsaved) error {
	if s.cfg.Dir != "" {
		rec.Login = rand.Text()
	}
	s.here(rec)
	s.rec, s.held, s.doubt, s.later = rec, 0, doubt{}, nil
	s.distrust.Store(nil)
	s.forgetResources()
	places.login = true
	s.unsaved = places
	err := s.save(ctx)
	if s.rec != rec {
		return err // overtaken by a newer login
	}
	s.publish(rec.Tokens)
	s.setHealth(func(h *Health) { h.renew(rec.RefreshedAt) })
	return err
}

// storeSaved notes that the Store holds the current pair. It may do so although
// saving it was reported as failed.
func (s *Session) storeSaved() {
	if !s.unsaved.store {
		return
	}
	s.unsaved.store, s.unsaved.login = false, false
	s.noteSpent()
	s.releaseSaved()
	if s.unsaved.any() {
		return
	}
	reported := s.state.Load().Unsaved != nil
	s.setHealth(func(h *Health) { h.saved() })
	s.cfg.Reach.Forget(s)
	if reported {
		s.host.Emit(Event{Kind: EventSaved})
	}
}

// save writes what is unsaved. On failure the session goes on with the pair in
// memory, and saving is tried again until it works.
func (s *Session) save(ctx context.Context) error {
	before := s.state.Load().Unsaved
	err := s.saveStore(ctx)
	if err == nil {
		s.releaseSaved()
	}
	if err == nil && s.unsaved.callback {
		if err = s.callTokenStore(ctx, cmp.Or(s.unsaved.whole, s.rec.Tokens)); err == nil {
			s.unsaved.callback, s.unsaved.whole = false, nil
		}
	}
	if err != nil {
		err = fmt.Errorf("saving session %q: %w", s.name, err)
		s.setHealth(func(h *Health) {
			h.Unsaved, h.saves = err, h.saves+1
			h.saveAt = s.now().Add(schedule.Backoff(h.saves, min(s.cfg.CheckInterval, maxSaveWait), chance.Float64(s.cfg.Clock)))
		})
		s.cfg.Reach.Await(s, s.host.Wake)
		s.host.Emit(Event{Kind: EventSaveFailed, Err: err, Next: s.state.Load().saveAt})
		return err
	}
	if before != nil {
		s.cfg.Reach.Forget(s)
		s.setHealth(func(h *Health) { h.saved() })
		s.host.Emit(Event{Kind: EventSaved})
	}
	return nil
}

// saveStore writes the record to the Store. If another process has written in the
// meantime, the newest of one session's pairs stays, and a new login or a logout
// stays in any case.
func (s *Session) saveStore(ctx context.Context) error {
	for range 4 {
		if !s.unsaved.store {
			return nil
		}
		err := s.settle(ctx, s.rec)
		if err == nil {
			s.unsaved.store, s.unsaved.login = false, false
			s.held = 0
			s.noteSpent()
			return nil
		}
		switch {
		case errors.Is(err, tokenstore.ErrTooLong):
			if !s.leaveOut(ctx) {
				return err
			}
			s.cfg.Logger.Warn("saving the session without its new access token, for which there is no room", "session", s.name, "error", err)
			continue
		case !errors.Is(err, tokenstore.ErrConflict):
			return err
		}
		if err := s.reconcile(ctx); err != nil {
			return err
		}
	}
	return tokenstore.ErrConflict
}

// leaveOut makes the record of a renewal one that is no longer than what is in the Store:
// of the answer it has the refresh token alone, beside the access token that was there. That
// is all that must not be lost: a process that finds it dead renews the session. It reports false if
// nothing can be left out. The session goes on to serve the whole answer.
func (s *Session) leaveOut(ctx context.Context) bool {
	if s.unsaved.login {
		return false // nothing of it is in the Store
	}
	stored, err := s.get(ctx)
	if err != nil {
		return false
	}
	if stored.Version != s.rec.Version {
		return s.reconcile(ctx) == nil
	}
	less := stored.Tokens.Clone()
	less.RefreshToken, less.RefreshExpiresAt = s.rec.Tokens.RefreshToken, s.rec.Tokens.RefreshExpiresAt
	if less.AccessToken == s.rec.Tokens.AccessToken || !s.account.SameAccount(less) {
		return false
	}
	s.unsaved.whole, s.rec.Tokens = cmp.Or(s.unsaved.whole, s.rec.Tokens), less
	return true
}

// noteSpent notes, now that its successor is saved, that a refresh token is spent.
func (s *Session) noteSpent() {
	if s.doubt.spent != "" {
		s.cfg.Witness.Note(s.name, s.doubt.spent)
		if s.cfg.Witness.Keeps() {
			s.cfg.Witness.Replace(s.cfg.login(s.rec), pairOf(s.rec, s.rec.Version))
		}
		s.doubt.spent = ""
	}
}

// reconcile follows a conflict: it takes what the Store holds, or goes on from
// its version.
func (s *Session) reconcile(ctx context.Context) error {
	stored, err := s.get(ctx)
	switch {
	case errors.Is(err, tokenstore.ErrNotFound):
		if s.rec.Version == 0 {
			return tokenstore.ErrConflict // it was there, and is gone again
		}
		s.loggedOut()
		return nil
	case err != nil:
		return err
	}
	if !s.unsaved.login && !s.account.SameAccount(stored.Tokens) {
		s.displace()
		return nil
	}
	if s.supersedes(stored) {
		s.writeOver(stored)
		s.rec.Unknown = stored.Unknown
		return nil
	}
	s.rec = nil // what we hold is overtaken; say so in events
	s.take(stored)
	s.host.Emit(Event{Kind: EventAdopted})
	return nil
}

// supersedes reports whether our record is to replace stored: it is a later state
// of the same session. Of two successors of one refresh token the one that was
// asked for last lives (servers with a grace window keep the newest).
func (s *Session) supersedes(stored *tokenstore.Record) bool {
	if !differs(stored.Tokens, s.rec.Tokens) || s.outdated(stored) {
		return true
	}
	for _, ancestor := range s.rec.Ancestors {
		for _, other := range stored.Ancestors {
			if ancestor == other {
				return !stored.Tokens.IssuedAt.After(s.rec.Tokens.IssuedAt)
			}
		}
	}
	return false
}

// edit returns a copy of rec whose fields can be replaced. What they refer to is
// shared, and never modified.
func edit(rec *tokenstore.Record) *tokenstore.Record {
	c := *rec
	return &c
}

// maxSaveWait is the longest time between two attempts to save a pair. Other processes give
// one that has an unsaved pair a check interval from when they find that it may: it has to
// come sooner.
const maxSaveWait = time.Minute

// retrySave saves again what could not be saved, if it is time, and reports whether it
// has tried.
func (s *Session) retrySave(ctx context.Context) (tried bool) {
	if !s.unsaved.any() || !s.now().Reached(s.state.Load().saveAt) {
		return false
	}
	_ = s.save(ctx)
	return true
}

// saveNow saves what could not be saved, now that the Store was reached.
func (s *Session) saveNow(ctx context.Context) {
	if s.unsaved.any() {
		_ = s.save(ctx)
	}
}

// SaveAtLast is for the end of a run: one more try, or tries until grace ends if that is
// not nil. In a process that is about to end, a place that does not take the pair
// although it had room for it a moment ago is not waited for: what it could be made to
// keep, the next process finds there. Nor is one for which the pair is too long. It gives up the session's lock. The caller has the turn.
func (s *Session) SaveAtLast(ctx, grace context.Context) error {
	defer s.releaseKept()
	defer s.cfg.Reach.Forget(s)
	if !s.unsaved.any() {
		return nil
	}
	for {
		err := s.save(ctx)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("refresh: %w: %w", ErrUnsaved, err)
		_, place := errors.AsType[*tokenstore.PlaceError](err)
		if grace == nil || s.cfg.ShortLived && (place || errors.Is(err, tokenstore.ErrTooLong)) {
			return err
		}
		timer := s.cfg.Clock.Timer(time.Second)
		select {
		case <-grace.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}
