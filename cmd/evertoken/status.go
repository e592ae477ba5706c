package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// statusCmd shows the session as it is saved.
type statusCmd struct {
	JSON bool `help:"Print one JSON object, for scripts."`
}

// Help is shown below the command's flags.
func (statusCmd) Help() string {
	return `Exit code: 0 if the session can be used or renewed, 3 if a login is required, or probably helps.

` + example("status", "status --json")
}

// Run reads and prints, without asking the server or changing anything.
func (c *statusCmd) Run(ctx context.Context, a *app) error {
	s, err := a.open(ctx)
	var rec *tokenstore.Record
	if err == nil {
		rec, err = s.store.Get(ctx, a.Profile)
	}
	if err != nil {
		return c.absent(a, err)
	}
	st := s.judge(rec)
	if c.JSON {
		err = c.printJSON(a, s, rec, st)
	} else {
		err = c.printText(a, s, rec, st)
	}
	if err == nil && (st.State == refresh.StateLoginRequired || st.State == refresh.StateSuspected) {
		err = exit.Silent(exit.Login)
	}
	return err
}

// absent answers for a session that is not there.
func (c *statusCmd) absent(a *app, err error) error {
	p := a.explain(err)
	if !c.JSON || p.Code != exit.Login || errors.Is(err, tokenstore.ErrDamaged) {
		return p
	}
	st, err := statusFields(&refresh.RefreshStatus{Session: a.Profile, State: refresh.StateNone, LastError: p.What})
	if err != nil {
		return err
	}
	st["profile"] = a.Profile
	return cmp.Or[error](a.printJSON(st), exit.Silent(exit.Login))
}

func (c *statusCmd) printText(a *app, s *session, rec *tokenstore.Record, st *refresh.RefreshStatus) error {
	now := time.Now()
	rows := [][2]string{
		{"profile", a.Profile},
		{"server", s.profile.Server()},
		clientRow(s.profile),
		{"state", c.stateText(a, st)},
		{"access token", accessText(st, now)},
		{"next renewal", renewalText(st, rec.Tokens.RefreshToken != "", now)},
		{"refresh token", refreshText(st, rec, now)},
		{"last renewed", lastText(st, now)},
	}
	if rec.Tokens.Scope != "" {
		rows = append(rows, [2]string{"scope", outside.Show(rec.Tokens.Scope)})
	}
	if st.ClockSkew != 0 {
		rows = append(rows, [2]string{"clock", "this machine's is " + text.Brief(st.ClockSkew.Abs()) + direction(st.ClockSkew) + " the server's"})
	}
	if apis := s.allowed(rec); len(apis) > 0 {
		rows = append(rows, [2]string{"APIs", outside.Show(strings.Join(apis, ", "))})
	}
	rows = append(rows, [2]string{"tokens", s.store.Place()})
	for _, row := range rows {
		if err := a.print("%-14s %s", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}

// clientRow says what the server knows of this program.
func clientRow(p *profile.Profile) [2]string {
	if b := p.Backend; b != nil {
		return [2]string{"dialect", outside.Show(b.Named)}
	}
	return [2]string{"client", p.ClientID}
}

func (c *statusCmd) stateText(a *app, st *refresh.RefreshStatus) string {
	switch st.State {
	case refresh.StateLoginRequired:
		return "login required: " + st.LastError + "; " + a.guide().LoginAdvice()
	case refresh.StateSuspected:
		return "refused: " + st.LastError + "; a login probably helps: " + a.guide().LoginAdvice()
	case refresh.StateMisconfigured:
		return "misconfigured: " + st.LastError
	case refresh.StateRetrying:
		return "in trouble, nothing is lost: " + st.LastError
	}
	return "good"
}

func accessText(st *refresh.RefreshStatus, now time.Time) string {
	switch {
	case st.ExpiresAt.IsZero():
		return "no known expiry"
	case st.TimeUntilExpiry <= 0:
		return "expired " + text.When(st.ExpiresAt, now)
	}
	return text.Until(st.ExpiresAt, now)
}

func renewalText(st *refresh.RefreshStatus, renewable bool, now time.Time) string {
	switch {
	case !st.NextAttempt.IsZero():
		return "not before " + text.When(st.NextAttempt, now)
	case st.State == refresh.StateLoginRequired, !renewable:
		return "none"
	case st.NeedsRefresh:
		return "due now, with the next command that needs a token"
	case st.RefreshAt.IsZero():
		return "when an API rejects the token"
	}
	return "due " + text.When(st.RefreshAt, now)
}

func refreshText(st *refresh.RefreshStatus, rec *tokenstore.Record, now time.Time) string {
	t := rec.Tokens
	switch {
	case t.RefreshToken == "":
		return "none: the session ends with the access token"
	case st.State == refresh.StateLoginRequired && rec.Dead.On(t.RefreshToken):
		return "ended by the server " + text.When(rec.Dead.At, now)
	case t.RefreshExpiresAt.IsZero():
		return "kept; no known expiry"
	}
	return "expires if unused by " + text.When(t.RefreshExpiresAt, now)
}

func lastText(st *refresh.RefreshStatus, now time.Time) string {
	if st.LastRefreshAt.IsZero() {
		return "not since the login"
	}
	return text.When(st.LastRefreshAt, now)
}

func direction(skew time.Duration) string {
	if skew > 0 {
		return " ahead of"
	}
	return " behind"
}

// printJSON prints the fields of refresh.RefreshStatus, and what the profile adds.
func (c *statusCmd) printJSON(a *app, s *session, rec *tokenstore.Record, st *refresh.RefreshStatus) error {
	fields, err := statusFields(st)
	if err != nil {
		return err
	}
	fields["profile"] = a.Profile
	fields["server"] = s.profile.Server()
	if b := s.profile.Backend; b != nil {
		fields["dialect"], fields["username"] = b.Named, b.Username
	} else {
		fields["client_id"] = s.profile.ClientID
	}
	fields["store"] = s.store.Kind
	fields["dir"] = s.store.Dir()
	fields["renewable"] = rec.Tokens.RefreshToken != "" && st.State != refresh.StateLoginRequired
	fields["scope"] = rec.Tokens.Scope
	fields["apis"] = s.allowed(rec)
	for name, mark := range map[string]*tokenstore.Mark{"pending": rec.Pending, "refused": rec.Refused, "dead": rec.Dead} {
		if mark.On(rec.Tokens.RefreshToken) {
			fields[name+"_since"] = mark.At
		}
	}
	return a.printJSON(fields)
}

func statusFields(st *refresh.RefreshStatus) (map[string]any, error) {
	data, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	return fields, json.Unmarshal(data, &fields)
}
