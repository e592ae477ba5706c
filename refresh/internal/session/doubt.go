package session

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
	"github.com/evertoken/evertoken/refresh/internal/witness"
	"github.com/evertoken/evertoken/tokenstore"
)

// This file is about refresh tokens that may be spent although the Store has no
// successor: another process has announced a spend and not saved what came of it, or the
// Store went back to an older state. Sent again, such a token ends the session at a
// strict server, while the process that has its successor may only be waiting for the
// Store.
//
// The rule: what is sent again in a hurry is sent while the server takes it again
// ([schedule.HurryWindow] if that is not known), and the Store has not been away since the
// spend was announced. Otherwise, a process whose pair is unsaved gets as long as it needs
// to find out that the Store is back and to save it. A lock that ends only with its process
// is as good: the next holder knows that the one before has nothing to save. If the spend was
// announced under another such lock, as in a directory that has been replaced by a copy of
// itself, its holder is probably at work, and nothing is sent in a hurry.

// A doubt is what this process knows of who may have spent the session's refresh token.
type doubt struct {
	own      time.Time      // Mark.At of what this process has announced last
	version  uint64         // of the record then
	mark     time.Time      // Mark.At of what another process has announced
	found    moment.Instant // when this one found that
	spent    string         // fingerprint of the token that the unsaved pair was given for
	answered moment.Instant // when the Store answered last a call that had taken long
	time     moment.Instant // until when others had time to find out that an older copy is there, see giveTime,
	timeFor  string         // and for the sake of which token, by its fingerprint
	old      moment.Instant // when the Store was found to have gone back; zero: it has not, or a newer pair has come
}

// others reports whether a mark is another process's.
func (d *doubt) others(rec *tokenstore.Record) bool {
	return !rec.Pending.At.Equal(d.own) && rec.Version != d.version
}

// patience is how long the Store has to be within reach before a refresh token is sent
// that another process may have spent. That process looks at the Store once per check
// interval, and neither its last call before the Store was back nor the one that saves
// takes longer than a call may.
func (c *Config) patience() time.Duration { return c.CheckInterval + 2*schedule.StoreTimeout }

// hurry is how long after a spend was announced the same token may be sent again without
// asking whether another process has its successor.
func (c *Config) hurry() time.Duration {
	if c.Grace > 0 {
		return c.Grace - c.Grace/10
	}
	return schedule.HurryWindow
}

// unsettled returns why the session's refresh token is not to be sent yet, or not at all;
// nil if it may be. The caller has lease.
func (s *Session) unsettled(ctx context.Context, lease tokenstore.Lease, w Want) error {
	if s.cfg.neverAgain(s.rec.Tokens) || s.cfg.asksAnew(s.rec.Tokens) {
		return nil // has a rule of its own; or nothing is spent
	}
	why, spent := errUnsettled, s.knownSpent(s.rec)
	until := s.writerHasUntil(ctx, lease)
	if s.wentBack(); s.cfg.Locker != nil && (spent || !w.Insist && !s.witnessed()) && !s.now().Reached(s.doubt.holds(s.cfg)) {
		until, why = until.And(s.doubt.holds(s.cfg)), errWentBack
	}
	switch {
	case !s.now().Reached(until) && !(spent && s.cfg.ShortLived):
		s.hold(until, failure.Transient(why))
	case spent:
		s.declareDead(failure.LoginRequired(ErrOldCopy))
	default:
		return nil
	}
	return s.state.Load().Err
}

// doubtful reports whether unsettled has to decide.
func (s *Session) doubtful() bool {
	return s.rec.Pending.On(s.rec.Tokens.RefreshToken) && s.doubt.others(s.rec) || !s.doubt.old.IsZero() ||
		!s.rec.WentBackAt.IsZero() || s.knownSpent(s.rec)
}

// writerHasUntil returns until when the process that has announced a spend is given time
// to save what came of it; zero if it is not.
func (s *Session) writerHasUntil(ctx context.Context, lease tokenstore.Lease) moment.Instant {
	mark, now := s.rec.Pending, s.now()
	if !mark.On(s.rec.Tokens.RefreshToken) || !s.doubt.others(s.rec) || endsWithProcess(lease) {
		return moment.Instant{}
	}
	back := s.cfg.Reach.BackSince()
	age := now.Wall().Sub(mark.At)
	if away := !back.IsZero() && now.Since(back) < age+clockNoise; age > -clockNoise && age < s.cfg.hurry() && !away && !announcedElsewhere(lease) {
		return moment.Instant{}
	}
	if !s.doubt.mark.Equal(mark.At) {
		s.doubt.mark, s.doubt.found = mark.At, now
	}
	found := s.doubt.found
	if s.cfg.ShortLived {
		found = s.foundBefore(ctx, now)
	}
	found = found.And(back)
	if left := s.cfg.patience() - now.Since(found); left > 0 {
		return now.Add(left)
	}
	return moment.Instant{}
}

// giveTime puts a renewal off, for which no caller waits, after this process was cut off
// from the Store: an older copy may be there by now, which is all that this process knows,
// and another host that has a newer pair has to find that out. It gets half of what is left
// of the token's life at most, and once for each token.
func (s *Session) giveTime(w Want) error {
	cur, d, back := s.cur.Load(), &s.doubt, s.cfg.Reach.BackSince().And(s.doubt.answered)
	spends := s.unchecked.err == nil && !s.cfg.asksAnew(s.rec.Tokens)
	if back.IsZero() || w.urgent() || s.cfg.Locker == nil || s.witnessed() || !spends {
		return nil
	}
	until := back.Add(s.cfg.patience())
	if ends := cur.Ends(); ends != moment.Never {
		until = until.Or(back.Add(ends.Since(back) / 2))
	}
	token := tokenstore.Fingerprint(s.rec.Tokens.RefreshToken)
	if d.timeFor != token && !s.now().Reached(until) {
		d.timeFor, d.time = token, until
	}
	if d.timeFor != token || s.now().Reached(d.time) {
		return nil
	}
	s.deferUntil(d.time)
	return ErrDeferred
}

// answered notes that the Store has answered a call, and that this process was cut off from
// it if that took long.
func (s *Session) answered(begun moment.Instant) {
	if now := s.now(); now.Since(begun) >= cutOff {
		s.doubt.answered = now
	}
}

// cutOff is how long a call of the Store's takes, or the wait for a lock, that may have
// waited for a network to heal.
const cutOff = time.Second

// clockNoise is how far the clocks of hosts that share a Store may be apart as if they
// agreed.
const clockNoise = 2 * time.Second

// foundBefore returns when the first process found the mark. One that is about to end
// writes that down for the next, or each would wait from the beginning.
func (s *Session) foundBefore(ctx context.Context, now moment.Instant) moment.Instant {
	if s.rec.Pending.Last.IsZero() {
		s.mark(ctx, func(rec *tokenstore.Record) {
			if rec.Pending != nil {
				found := *rec.Pending
				found.Last = now.Wall().UTC()
				rec.Pending = &found
			}
		})
		return now
	}
	ago := now.Wall().Sub(s.rec.Pending.Last)
	return now.Add(-max(ago, 0))
}

// endsWithProcess reports whether the holder before has ended, or let go of the lease.
func endsWithProcess(lease tokenstore.Lease) bool {
	l, ok := lease.(tokenstore.ProcessLease)
	return ok && l.EndsWithProcess()
}

// announcedElsewhere reports whether lease is a lock that ends with its process, and the spend
// was announced under another one.
func announcedElsewhere(lease tokenstore.Lease) bool {
	l, ok := lease.(tokenstore.ProcessLease)
	_, none := lease.(noLease)
	return ok && !none && !l.EndsWithProcess()
}

// hold puts off a spend, for a reason that does not count as a failed attempt. A caller
// without a living token has the Store looked at every two seconds meanwhile.
func (s *Session) hold(until moment.Instant, why error) {
	told := s.state.Load().Err
	epoch := s.cfg.Gate.Epoch()
	s.setHealth(func(h *Health) {
		h.State, h.Err, h.epoch, h.firm = StateRetrying, why, epoch, moment.Instant{}
		h.failed = s.now()
		h.Next, h.callers = until, h.failed.Add(2*schedule.ProbePause)
	})
	if told == nil || told.Error() != why.Error() {
		s.host.Emit(Event{Kind: EventRefreshFailed, Err: why, Next: until})
	}
}

// A Store that went back to an older state is noticed by what this process has in memory,
// and by what processes of this machine have noted of spent tokens (Config.Witness). Then
// the token that it holds may be spent, even the newest that is known here: others that
// have a newer one get the time to write it over the old copy.

// noticeOld notes that the Store has been found to hold an older state.
func (s *Session) noticeOld() {
	if s.doubt.old.IsZero() {
		s.host.Emit(Event{Kind: EventOldCopy, Err: errWentBack})
	}
	s.doubt.old = s.now()
}

// gone notices that the Store does not hold any more what we have saved, and has our record
// say so to processes that have the same pair.
func (s *Session) gone() {
	if s.unsaved.store {
		return
	}
	s.noticeOld()
	s.rec = edit(s.rec)
	s.rec.WentBackAt = s.doubt.old.Wall().UTC()
}

// wentBack notices a record whose refresh token is known to be spent, and one that another
// process has just written over an older copy.
func (s *Session) wentBack() {
	age := s.now().Wall().Sub(s.rec.WentBackAt)
	if s.doubt.old.IsZero() && (age.Abs() < s.cfg.patience() || s.knownSpent(s.rec)) {
		s.noticeOld()
	}
}

// knownSpent reports whether this machine knows that a record's refresh token is spent. Ours
// has been as high as held, see writeOver.
func (s *Session) knownSpent(rec *tokenstore.Record) bool {
	version := rec.Version
	if rec == s.rec {
		version = max(version, s.held)
	}
	return s.cfg.knownSpent(s.name, rec, version)
}

// knownSpent reports whether this machine knows that the refresh token of a record with the
// given version is spent: it was spent in this Store, or under any other path or name that
// this login has been copied to. That a token was spent once proves nothing of one that the
// server has given a second time, as its record says.
func (c *Config) knownSpent(name string, rec *tokenstore.Record, version uint64) bool {
	pair := pairOf(rec, version)
	again := slices.Contains(rec.Ancestors, pair.Token)
	return !again && c.Witness.Spent(name, pair.Token) || c.Witness.Old(c.login(rec), pair)
}

// login names the login of a record in the same way whatever path and name it is kept at.
// A record without a name for it is known by the token that it began with, where that is
// asked for by the same client: in tests of programs, tokens of all logins are alike.
func (c *Config) login(rec *tokenstore.Record) string {
	if rec.Login != "" || !c.Witness.Keeps() {
		return rec.Login
	}
	return tokenstore.Fingerprint(firstToken(rec) + " " + cmp.Or(c.ConfigID, rec.RefreshedBy, c.Dir))
}

// pairOf returns what is noted of the pair of a record with the given version.
func pairOf(rec *tokenstore.Record, version uint64) witness.Pair {
	if version >= derivedVersion {
		version = 0
	}
	return witness.Pair{Token: tokenstore.Fingerprint(rec.Tokens.RefreshToken), Version: version, Before: rec.Ancestors}
}

// witnessed reports whether all who have spent refresh tokens of the session have noted it
// where this process does.
func (s *Session) witnessed() bool { return s.rec != nil && s.cfg.Witness.SeesAll(s.rec.Witnesses) }

// holds returns until when nothing is spent, and no session said to have ended, because
// the Store went back. An outage that this process meets counts from its end. It looks so
// often meanwhile that one it does not meet is short: another process whose look that one
// has cost looks again within two store time limits, see reach.Line.Probes.
func (d *doubt) holds(c *Config) moment.Instant {
	if d.old.IsZero() {
		return moment.Instant{}
	}
	from := d.old
	if back := c.Reach.BackSince(); !back.IsZero() {
		from = from.And(back)
	}
	return from.Add(c.patience() + 2*schedule.StoreTimeout)
}

// noteReplaced notes that the refresh token we hold, and those after it, are spent by what
// stored says, which takes its place. A login that takes its place does not say so.
func (s *Session) noteReplaced(stored *tokenstore.Record) {
	s.doubt.old = moment.Instant{}
	if stored.RefreshedAt.IsZero() || len(stored.Ancestors) == 0 {
		return
	}
	from := len(stored.Ancestors) - 1 // of another login, the latest alone is known to be spent
	if s.rec != nil {
		if i := slices.Index(stored.Ancestors, tokenstore.Fingerprint(s.rec.Tokens.RefreshToken)); i >= 0 {
			from = i
		}
	}
	for _, spent := range stored.Ancestors[from:] {
		s.cfg.Witness.Note(s.name, spent)
	}
	if s.cfg.Witness.Keeps() {
		s.cfg.Witness.Add(s.cfg.login(stored), pairOf(stored, stored.Version))
	}
}

// maxPlaces bounds Record.Places: a home that machines share has one for each.
const maxPlaces = 16

// here notes in a record that the session is kept where this process keeps it, and where
// this process notes what it spends. Of other witnesses one is enough to tell that there are
// any.
func (s *Session) here(rec *tokenstore.Record) {
	if s.cfg.Dir != "" {
		rec.Login = s.cfg.login(rec)
		if id := s.cfg.Witness.ID(); len(rec.Witnesses) < 2 && !slices.Contains(rec.Witnesses, id) {
			rec.Witnesses = append(slices.Clone(rec.Witnesses), id)
		}
	}
	if s.cfg.Place == "" || slices.Contains(rec.Places, s.cfg.Place) {
		return
	}
	rec.Places = append(slices.Clone(rec.Places), s.cfg.Place)
	rec.Places = rec.Places[max(0, len(rec.Places)-maxPlaces):]
}

// tellCopied tells, before the first spend here, that the session comes from elsewhere. It
// is not known whether a program goes on with it there, so that it is used all the same.
func (s *Session) tellCopied() {
	if p := s.rec.Places; s.cfg.Place != "" && len(p) > 0 && !slices.Contains(p, s.cfg.Place) {
		s.host.Emit(Event{Kind: EventCopied, Err: ErrCopied})
	}
}

// keptElsewhere reports whether the session has been kept in another place, too.
func (s *Session) keptElsewhere() bool {
	return s.cfg.Place != "" && slices.ContainsFunc(s.rec.Places, func(p string) bool { return p != s.cfg.Place })
}
