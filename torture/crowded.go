package main

import (
	"context"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

// crowded has many processes share one session, whose access token all of them
// find rejected at the same moment, again and again.
func (t *torture) crowded(ctx context.Context, c worker.Client, expiries int) (*report.Row, error) {
	r := newRow(c, "all expire at once")
	r.Rounds = expiries
	s, err := t.newScene(ctx, c, r, oauthtest.Config{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	crowd, err := s.crowd(ctx, t.size.crowd)
	if err != nil {
		return nil, err
	}
	defer dismiss(crowd)
	for range expiries {
		if ctx.Err() != nil {
			break
		}
		s.srv.Expire()
		s.callAll(ctx, crowd)
		lost, err := s.loss(ctx)
		if err != nil {
			return nil, err
		}
		if lost {
			askAll(ctx, crowd, worker.CmdCall) // they go on with the new login
		}
	}
	if err := s.finish(ctx); err != nil {
		return nil, err
	}
	if r.Spends != expiries {
		r.Broken("%d expiries cost %d spends", expiries, r.Spends)
	}
	if r.Judged {
		r.Note("%d processes share a session on a server without a grace window. Each round the API no longer takes "+
			"the access token, and all of them call it at once. One spend each is in order.", t.size.crowd)
	} else {
		r.Note("As row 1, by a program with golang.org/x/oauth2 that reads its file again before it refreshes, saves " +
			"by a rename, and has no lock. After a loss a person logs in anew.")
	}
	return r, nil
}
