package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

// A session that was copied from another place is told of before it is spent here for the
// first time, and is the cause that is named if the server does not take it any more.
func TestF79_ACopiedSessionIsTold(t *testing.T) {
	for _, tt := range []struct {
		name, here string
		places     []string
		told       bool
	}{
		{"from elsewhere", "here", []string{"there"}, true},
		{"a home that machines share", "here", []string{"here", "there"}, false},
		{"its own", "here", []string{"here"}, false},
		{"of an earlier version", "here", nil, false},
		{"a machine without a number", "", []string{"there"}, false},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) { return pair("2"), nil }
			rec, err := d.store.Get(t.Context(), session)
			if err != nil {
				t.Fatal(err)
			}
			rec.Places = tt.places
			if _, err := d.store.Set(t.Context(), session, rec); err != nil {
				t.Fatal(err)
			}
			d.cfg.Place = tt.here
			if err := d.renew(t); err != nil {
				t.Fatal(err)
			}
			if told := slices.Contains(d.events, EventCopied); told != tt.told {
				t.Errorf("events %v; want it told: %v", d.events, tt.told)
			}
			if at := slices.Index(d.events, EventCopied); tt.told && at > slices.Index(d.events, EventRefreshing) {
				t.Errorf("events %v; want it told before the spend", d.events)
			}
			if rec, err = d.store.Get(t.Context(), session); err != nil || tt.here != "" && !slices.Contains(rec.Places, tt.here) {
				t.Errorf("places %q, error %v; want ours among them", rec.Places, err)
			}

			d.events = nil
			d.server = func(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
				return nil, &oauth.Error{Op: "refresh", Kind: oauth.ErrLoginRequired, Code: "invalid_grant", Status: 400, Sent: true}
			}
			for range 3 { // the word has to be heard twice
				_ = d.renew(t)
				time.Sleep(2 * time.Minute)
			}
			elsewhere := tt.here != "" && slices.ContainsFunc(tt.places, func(p string) bool { return p != tt.here })
			err = d.state.Load().Err
			if !errors.Is(err, oauth.ErrLoginRequired) || errors.Is(err, ErrCopied) != elsewhere {
				t.Errorf("error %v; want the copy named: %v", err, elsewhere)
			}
			if slices.Contains(d.events, EventCopied) {
				t.Errorf("told again: %v", d.events)
			}
		})
	}
}
