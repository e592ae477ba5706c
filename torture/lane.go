package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/saved"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// lanes is how many sessions are tortured beside each other where rounds are many
// and short: a process starts while another one works.
const lanes = 3

// A lane is a session whose process is ended by a signal in the middle of a
// refresh, round after round. Then the next one has to be served.
type lane struct {
	*scene
	rand   *rand.Rand
	sig    os.Signal
	grace  time.Duration    // of the server
	now    *process.Process // has opened the session and was served
	usual  time.Duration    // that a call with a refresh takes
	litter int              // temporary files before the round
	deaths [phases]death
	busy   int // deaths while the call was under way
}

// A death is how often the signal came in one phase.
type death struct {
	times int
	temps int // temporary files left behind
}

// A phase is how far a refresh had come when its process died, by the evidence
// left behind.
type phase int

const (
	untouched  phase = iota // nothing is announced, nothing was sent
	announced               // the file says that a spend begins, and nothing was sent
	unanswered              // carried out by the server; the file has no successor
	finished                // the successor is in the file
	phases
)

func (ph phase) String() string {
	return [...]string{"before anything was announced or sent", "announced but not sent", "sent but not saved", "saved"}[ph]
}

// inLanes shares out the rounds, runs them, and adds up what they counted.
func (t *torture) inLanes(ctx context.Context, c worker.Client, r *report.Row, rounds int, sig os.Signal, grace time.Duration) (*lane, error) {
	total := new(lane)
	var mu sync.Mutex // guards total
	var parts []part
	for i := range lanes {
		share := rounds*(i+1)/lanes - rounds*i/lanes
		l := &lane{rand: t.newRand(), sig: sig, grace: grace}
		parts = append(parts, func(ctx context.Context, r *report.Row) error {
			err := l.run(ctx, t, c, r, share)
			mu.Lock()
			defer mu.Unlock()
			total.busy += l.busy
			for ph, d := range l.deaths {
				total.deaths[ph].times += d.times
				total.deaths[ph].temps += d.temps
			}
			return err
		})
	}
	return total, beside(ctx, r, parts...)
}

// A part of a row runs beside others, and has a row of its own to count in.
type part = func(ctx context.Context, r *report.Row) error

// beside runs parts of a row beside each other, and adds up what they counted.
func beside(ctx context.Context, r *report.Row, parts ...part) error {
	var mu sync.Mutex // guards r and failed
	var failed error
	var running sync.WaitGroup
	for _, run := range parts {
		running.Go(func() {
			own := &report.Row{Judged: r.Judged}
			err := run(ctx, own)
			mu.Lock()
			defer mu.Unlock()
			r.Add(own)
			if failed == nil {
				failed = err
			}
		})
	}
	running.Wait()
	return failed
}

func (l *lane) run(ctx context.Context, t *torture, c worker.Client, r *report.Row, rounds int) error {
	s, err := t.newScene(ctx, c, r, oauthtest.Config{Grace: l.grace})
	if err != nil {
		return err
	}
	defer s.close()
	l.scene = s
	if l.now, err = l.start(); err != nil {
		return err
	}
	defer func() { l.now.Kill() }()
	if err := l.open(ctx, l.now); err != nil {
		return err
	}
	if err := l.calibrate(ctx); err != nil {
		return err
	}
	for range rounds {
		if err := l.round(ctx); err != nil {
			return err
		}
		r.Rounds++
	}
	return l.finish(ctx)
}

// open has a process go on with the session, and call the API.
func (l *lane) open(ctx context.Context, p *process.Process) error {
	if err := p.Ask(ctx, worker.CmdOpen); err != nil {
		return err
	}
	return p.Ask(ctx, worker.CmdCall)
}

// calibrate measures how long a call with a refresh takes here, with the others
// at work.
func (l *lane) calibrate(ctx context.Context) error {
	const calls = 5
	begun := time.Now()
	for range calls {
		l.srv.Expire()
		if err := l.now.Ask(ctx, worker.CmdCall); err != nil {
			return err
		}
	}
	l.usual = time.Since(begun) / calls
	return nil
}

// round ends the session's process while it refreshes, and has the next one go on.
func (l *lane) round(ctx context.Context) error {
	next, err := l.start() // it has the time of the round to come up
	if err != nil {
		return err
	}
	victim := l.now
	l.now = next
	defer victim.Kill()
	before, err := l.shelf.Get(ctx)
	if err != nil {
		return err
	}
	spends := len(l.srv.Spends())
	l.litter = len(saved.Temps(l.cfg.Dir)) // where nothing sweeps
	l.srv.Expire()
	if err := l.strike(ctx, victim); err != nil {
		return err
	}
	l.srv.ClearScript()
	if err := l.srv.Quiet(ctx); err != nil {
		return err
	}
	return l.succeed(ctx, l.examine(ctx, victim, before, spends))
}

// strike has the victim call the API, ends it at a moment drawn by lot, and
// returns when it is gone. Moments are spread over the whole of a refresh, from the
// call or from the arrival of its request at the server. In half of the rounds
// that takes its time, before or after it does the work.
func (l *lane) strike(ctx context.Context, victim *process.Process) error {
	fromArrival, part, slow := l.rand.IntN(2) == 0, l.rand.Float64(), l.rand.IntN(4)
	takes := l.usual
	if fromArrival {
		takes /= 2 // about as much is left then
	}
	if slow < 2 {
		l.srv.Script(oauthtest.Fault{Delay: l.usual, AfterCommit: slow == 0})
		takes += l.usual
	}
	arrived := l.srv.Requests(oauthtest.TokenEndpoint) + 1
	if err := victim.Say(worker.CmdCall); err != nil {
		return err
	}
	if fromArrival {
		limit, cancel := context.WithTimeout(ctx, worker.Patience)
		defer cancel()
		if err := l.srv.AwaitRequests(limit, oauthtest.TokenEndpoint, arrived); err != nil {
			if ctx.Err() != nil {
				return err
			}
			// As one that knows its token to be spent, since what took its place was not saved.
			l.row.Broken("a process that was to refresh sent nothing for %s", worker.Patience)
		}
	}
	_ = sleep.For(ctx, time.Duration(part*float64(takes)))
	if l.sig == os.Kill {
		victim.Kill()
		return ctx.Err()
	}
	if err := victim.Signal(l.sig); err != nil {
		return err
	}
	code, err := victim.ExitCode(ctx)
	if err == nil && code != worker.ExitHolds && l.cfg.Client == worker.Evertoken {
		l.row.Broken("asked to end, a process ended with code %d", code)
	}
	return err
}

// examine finds out how far the dead process had come.
func (l *lane) examine(ctx context.Context, dead *process.Process, before saved.State, spends int) phase {
	now, died := l.inspect(ctx, before), untouched
	switch {
	case now.RefreshToken != before.RefreshToken:
		died = finished
	case l.carriedOut(before.RefreshToken, spends):
		died = unanswered
		l.srv.AnswerLost(before.RefreshToken) // which the server cannot see
	case now.Pending:
		died = announced
	}
	l.deaths[died].times++
	l.deaths[died].temps += len(saved.Temps(l.cfg.Dir)) - l.litter
	if err := dead.Reply(ctx); err != nil {
		l.busy++
	} else if died != finished {
		l.row.Broken("a new token was used before it was saved")
	}
	return died
}

// carriedOut reports whether the server has carried out a spend of the refresh
// token since it had seen so many spends.
func (l *lane) carriedOut(refreshToken string, since int) bool {
	for _, sp := range l.srv.Spends()[since:] {
		if sp.TokenHash == saved.Hash(refreshToken) && sp.Committed {
			return true
		}
	}
	return false
}

// succeed has the next process go on. It may find the session lost if the server
// has no grace window and the one before it died without the answer: then the
// only copy of the new refresh token died with it.
func (l *lane) succeed(ctx context.Context, died phase) error {
	begun := time.Now()
	err := l.open(ctx, l.now)
	if !l.srv.Lost() {
		l.row.CountServed(err, time.Since(begun))
		return ctx.Err()
	}
	l.row.Lost++
	if died == unanswered && l.grace == 0 && l.sig == os.Kill {
		l.row.Failed++
	} else {
		l.row.CountServed(err, time.Since(begun))
		l.row.Broken("a session was lost whose refresh was %s", died)
	}
	if err := l.logIn(ctx); err != nil {
		return err
	}
	l.now.Kill()
	if l.now, err = l.start(); err != nil {
		return err
	}
	return l.open(ctx, l.now)
}

// when tells how the signals were spread, by the server's list and the file.
func (l *lane) when() string {
	var parts []string
	for ph, d := range l.deaths {
		if d.times == 0 {
			continue
		}
		part := fmt.Sprintf("%d %s", d.times, phase(ph))
		if d.temps > 0 {
			part += fmt.Sprintf(" (%d while writing a file)", d.temps)
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("How far the refresh had come, by the server's list and the file: %s. In %d rounds the call was "+
		"still under way.", strings.Join(parts, ", "), l.busy)
}

// killed ends processes by kill -9 at random moments of a refresh.
func (t *torture) killed(ctx context.Context, c worker.Client, rounds int, grace time.Duration) (*report.Row, error) {
	r := newRow(c, "kill -9 mid-refresh, no grace")
	if grace > 0 {
		r = newRow(c, "kill -9 mid-refresh")
	}
	l, err := t.inLanes(ctx, c, r, rounds, os.Kill, grace)
	if err != nil {
		return nil, err
	}
	switch {
	case !r.Judged:
		r.Note("As row 2, by the program of row 8.")
	case grace > 0:
		r.Note("A process is killed while it refreshes, on a server with a grace window of %s, and the next one "+
			"must be served.", grace)
	default:
		r.Note("As row 2, but the server has no grace window: if an answer dies with its process, no client can "+
			"save the session. That happened to %d, and only these may be lost.", l.deaths[unanswered].times)
	}
	r.Note("%s", l.when())
	return r, nil
}

// terminated ends processes by SIGTERM at random moments of a refresh.
func (t *torture) terminated(ctx context.Context, c worker.Client, rounds int) (*report.Row, error) {
	r := newRow(c, "SIGTERM mid-refresh")
	l, err := t.inLanes(ctx, c, r, rounds, syscall.SIGTERM, 0)
	if err != nil {
		return nil, err
	}
	if r.Judged {
		r.Note("A process is asked to end while it refreshes, on a server without a grace window, and the next one " +
			"must be served.")
	} else {
		r.Note("As row 4, by the program of row 8.")
	}
	r.Note("%s", l.when())
	return r, nil
}
