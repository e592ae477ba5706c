package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/internal/trouble"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/process"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// longestCall is how long a caller may wait for a token at most: refresh.Config.MaxWait
// by default, and time for a busy machine.
const longestCall = 35 * time.Second

// serverPauses has the token endpoint stand still with a request in its hands, and then
// go on with it: the answer comes late, and must be taken.
func (t *torture) serverPauses(ctx context.Context, c worker.Client, _ *rand.Rand) (*report.Row, error) {
	r := newRow(c, either(c, "server pauses, then answers", "server pauses"))
	var parts []part
	for _, lasts := range t.size.pauses {
		for _, afterWork := range []bool{false, true} {
			parts = append(parts, func(ctx context.Context, r *report.Row) error {
				return t.pauseFor(ctx, c, r, lasts, afterWork)
			})
		}
	}
	if c == worker.Evertoken {
		for _, lasts := range t.size.pauses {
			parts = append(parts, func(ctx context.Context, r *report.Row) error { return t.commandInPause(ctx, r, lasts) })
		}
	}
	err := beside(ctx, r, parts...)
	several, more := "processes share", " A command (evertoken token) stays for the answer, or the next one must be served."
	if c == worker.XOAuth2 {
		several, more = "process has", ""
	}
	r.Note("%d %s a session on a server without a grace window. It stands still for %v while it has a request, before or "+
		"after it does the work, and then goes on. A call may end without a token meanwhile, after %s at most; the refresh "+
		"token must not be sent again, and with the server back all must be served.%s", t.several(c), several, t.size.pauses, longestCall, more)
	return r, err
}

func (t *torture) pauseFor(ctx context.Context, c worker.Client, r *report.Row, lasts time.Duration, afterWork bool) error {
	s, err := t.newScene(ctx, c, r, oauthtest.Config{})
	if err != nil {
		return err
	}
	defer s.close()
	crowd, err := s.crowd(ctx, t.several(c))
	if err != nil {
		return err
	}
	defer dismiss(crowd)
	pause := &trouble.Trouble{AfterWork: afterWork}
	s.srv.Expire()
	s.srv.Tokens.Fall(pause)
	sendAll(crowd, worker.CmdCall)
	if err := await(ctx, pause.Struck()); err != nil {
		return err
	}
	_ = sleep.For(ctx, lasts)
	again := s.srv.Tokens.Heal()
	r.Reuses += again
	if again > 0 {
		r.Broken("in a pause of %s the refresh token was sent %d times more", lasts, again)
	}
	for i, p := range crowd {
		_ = p.Reply(ctx) // it may have ended without a token
		r.Wait = max(r.Wait, report.Millis(p.Took().Milliseconds()))
		if took := p.Took(); took > longestCall {
			r.TooSlow("in a pause of %s caller %d waited %s", lasts, i, took.Round(time.Second))
		}
	}
	s.callAll(ctx, crowd)
	r.Rounds++
	if _, err := s.loss(ctx); err != nil {
		return err
	}
	return s.finish(ctx)
}

// commandInPause runs a command while the server pauses. Having spent the token it must
// stay for the answer.
func (t *torture) commandInPause(ctx context.Context, r *report.Row, lasts time.Duration) error {
	s, err := t.newScene(ctx, worker.Evertoken, r, oauthtest.Config{})
	if err != nil {
		return err
	}
	defer s.close()
	p, err := s.newProgram(ctx)
	if err == nil {
		err = s.age(ctx, -time.Minute)
	}
	if err != nil {
		return err
	}
	what := fmt.Sprintf("a command in a pause of %s", lasts)
	pause := new(trouble.Trouble)
	s.srv.Tokens.Fall(pause)
	ended := make(chan error, 1)
	go func() {
		got, err := p.token(ctx)
		if err == nil && got.code != 0 && got.code != exitTemporary {
			s.row.Broken("%s: %s", what, got.exits())
		}
		s.row.Wait = max(s.row.Wait, report.Millis(got.took.Milliseconds()))
		ended <- err
	}()
	if err := await(ctx, pause.Struck()); err != nil {
		return err
	}
	_ = sleep.For(ctx, lasts)
	again := s.srv.Tokens.Heal()
	if err := <-ended; err != nil {
		return err
	}
	r.Reuses += again
	r.Rounds++
	if err := s.nextRun(ctx, p, what); err != nil {
		return err
	}
	return s.finish(ctx)
}

func await(ctx context.Context, done <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, worker.Patience)
	defer cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for a request: %w", context.Cause(ctx))
	}
}

// endlessAnswers has the token endpoint begin an answer that does not end.
func (t *torture) endlessAnswers(ctx context.Context, c worker.Client, _ *rand.Rand) (*report.Row, error) {
	r := newRow(c, "endless answers")
	var parts []part
	list := ""
	for i, e := range trouble.Endless {
		if i > 0 {
			list += "; "
		}
		list += e.Name
		parts = append(parts, func(ctx context.Context, r *report.Row) error {
			if err := t.waitForEndless(ctx, c, r, e.Name, e.Answer); err != nil || c == worker.XOAuth2 {
				return err
			}
			return t.stopInEndless(ctx, r, e.Name, e.Answer)
		})
	}
	err := beside(ctx, r, parts...)
	r.Note("The server does not do what it is asked for, and begins an answer that does not end: %s. Callers in several "+
		"processes call until they are served, which must take %s at most: refresh.Config.RefreshTimeout is %s, and the next "+
		"answer is good. Then a process is asked to end (SIGTERM) while it reads such an answer: it must do so in order "+
		"within ten seconds, and the next one must be served.", list, endlessWait, endlessTimeout)
	return r, err
}

type answerFunc = func(w http.ResponseWriter, r *http.Request, over <-chan struct{})

// A short time limit makes the row short.
const (
	endlessTimeout = 3 * time.Second
	endlessWait    = endlessTimeout + 10*time.Second
)

func (t *torture) endlessScene(ctx context.Context, c worker.Client, r *report.Row) (*scene, error) {
	// So short a limit may also be over on a busy machine, with an answer that is lost.
	s, err := t.newScene(ctx, c, r, oauthtest.Config{Grace: grace})
	if err == nil {
		s.cfg.RefreshTimeout = endlessTimeout
	}
	return s, err
}

// waitForEndless has processes wait for one that reads an endless answer.
func (t *torture) waitForEndless(ctx context.Context, c worker.Client, r *report.Row, name string, answer answerFunc) error {
	s, err := t.endlessScene(ctx, c, r)
	if err != nil {
		return err
	}
	defer s.close()
	crowd, err := s.crowd(ctx, t.several(c))
	if err != nil {
		return err
	}
	defer dismiss(crowd)
	s.srv.Expire()
	begun := time.Now()
	s.srv.Tokens.Fall(&trouble.Trouble{Answer: answer, Once: true})
	sendAll(crowd, callers(2))
	limit, cancel := context.WithTimeout(ctx, worker.Patience+endlessWait) // a busy machine is not a mistake; a caller who stays is
	defer cancel()
	for _, p := range crowd {
		var served worker.Served
		err := p.ReplyWith(limit, worker.VeryLong, &served)
		took := time.Since(begun)
		if err == nil && took > endlessWait {
			r.TooSlow("%s: a caller waited %s", name, took.Round(time.Second))
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		r.CountServed(err, took)
	}
	s.srv.Tokens.Heal()
	r.Rounds++
	if c == worker.XOAuth2 {
		s.srv.Count(r)
		return nil
	}
	return s.endRound(ctx)
}

// stopInEndless asks a process to end that reads an endless answer.
func (t *torture) stopInEndless(ctx context.Context, r *report.Row, name string, answer answerFunc) error {
	s, err := t.endlessScene(ctx, worker.Evertoken, r)
	if err != nil {
		return err
	}
	defer s.close()
	crowd, err := s.crowd(ctx, 2)
	if err != nil {
		return err
	}
	defer dismiss(crowd)
	victim, next := crowd[0], crowd[1]
	s.srv.Expire()
	pause := &trouble.Trouble{Answer: answer, Once: true}
	s.srv.Tokens.Fall(pause)
	if err := victim.Say(worker.CmdCall); err != nil {
		return err
	}
	if err := await(ctx, pause.Struck()); err != nil {
		return err
	}
	begun := time.Now()
	if err := victim.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	code, err := victim.ExitCode(ctx)
	if err != nil || code != worker.ExitHolds {
		r.Broken("%s: asked to end, the process took %s and had exit code %d (error: %v)", name, time.Since(begun), code, err)
	}
	s.callAll(ctx, []*process.Process{next})
	s.srv.Tokens.Heal()
	r.Rounds++
	return s.endRound(ctx)
}

// endRound counts what is left of a scene with one round.
func (s *scene) endRound(ctx context.Context) error {
	if _, err := s.loss(ctx); err != nil {
		return err
	}
	return s.finish(ctx)
}
