package gate

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
)

// refusedClient is what the server says when it does not accept the client.
var refusedClient = &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Code: "invalid_client", Status: 401, Sent: true}

// refusedAt is a refusal of the client.
func refusedAt(now moment.Instant, configID, session string) Refusal {
	return Refusal{ConfigID: configID, Session: session, Err: refusedClient, Now: now, Interval: time.Minute, Life: time.Hour}
}

func TestAClientIsRefusedWhenTwoSessionsSayItOrOneForATokensLife(t *testing.T) {
	const life = time.Hour
	now := moment.Of(time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC))
	type refusal struct {
		session string
		after   time.Duration // since a session was renewed last
	}
	for name, tt := range map[string]struct {
		sessions int
		refusals []refusal
		closed   bool // after the last
	}{
		"alone":                         {1, []refusal{{"a", 0}}, true},
		"the first of many":             {9, []refusal{{"a", 0}}, false},
		"a second one":                  {9, []refusal{{"a", 0}, {"b", time.Second}}, true},
		"the same, soon":                {9, []refusal{{"a", 0}, {"a", time.Minute}}, false},
		"the same, as long as it lives": {9, []refusal{{"a", 0}, {"a", life}}, false},
		"the same, longer":              {9, []refusal{{"a", 0}, {"a", life + 1}}, true},
		"one that comes late":           {9, []refusal{{"a", 2 * life}}, false},
	} {
		s := New("as", Limits{}, 1)
		s.sessions = tt.sessions
		s.succeedLocked("c", now)
		closed := false
		for _, r := range tt.refusals {
			closed, _ = s.RefuseClient(refusedAt(now.Add(r.after), "c", r.session))
		}
		if closed != tt.closed {
			t.Errorf("%s: closed %v; want %v", name, closed, tt.closed)
		}
	}
}

func TestASuccessLiftsWhatConcernsManyAlone(t *testing.T) {
	now := moment.Of(time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC))
	for name, tt := range map[string]struct {
		meet   func(s *Gate)
		lifted bool
	}{
		"nothing":                {func(*Gate) {}, false},
		"one session refused":    {func(s *Gate) { s.Refuse("a") }, false},
		"the same session twice": {func(s *Gate) { s.Refuse("a"); s.Refuse("a") }, false},
		"two sessions refused":   {func(s *Gate) { s.Refuse("a"); s.Refuse("b") }, true},
		"the client in question": {func(s *Gate) { s.RefuseClient(refusedAt(now, "c", "a")) }, false},
		"the client refused": {func(s *Gate) {
			s.RefuseClient(refusedAt(now, "c", "a"))
			s.RefuseClient(refusedAt(now, "c", "b"))
		}, true},
		"another's client refused": {func(s *Gate) {
			s.RefuseClient(refusedAt(now, "d", "a"))
			s.RefuseClient(refusedAt(now, "d", "b"))
		}, false},
	} {
		s := New("as", Limits{}, 1)
		s.sessions = 9
		tt.meet(s)
		before := s.Epoch()
		n := s.succeedLocked("c", now)
		if lifted := s.Epoch() != before; lifted != tt.lifted {
			t.Errorf("%s: lifted %v; want %v", name, lifted, tt.lifted)
		}
		if told := name == "the client refused"; n.accepted != told {
			t.Errorf("%s: other processes hear of it: %v; want %v", name, n.accepted, told)
		}
	}
}
