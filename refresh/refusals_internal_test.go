package refresh

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

// refusedClient is what the server says when it does not accept the client.
var refusedClient = &oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Code: "invalid_client", Status: 401, Sent: true}

func TestAClientIsRefusedWhenTwoSessionsSayItOrOneForATokensLife(t *testing.T) {
	const life = time.Hour
	now := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
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
		s := newServer("as", Limits{}, 1)
		s.sessions = tt.sessions
		s.succeedLocked("c", now)
		closed := false
		for _, r := range tt.refusals {
			closed, _ = s.refuseClient("c", r.session, refusedClient, now.Add(r.after), time.Minute, life)
		}
		if closed != tt.closed {
			t.Errorf("%s: closed %v; want %v", name, closed, tt.closed)
		}
	}
}

func TestASuccessLiftsWhatConcernsManyAlone(t *testing.T) {
	now := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		meet   func(s *server)
		lifted bool
	}{
		"nothing":                {func(*server) {}, false},
		"one session refused":    {func(s *server) { s.refuse("a") }, false},
		"the same session twice": {func(s *server) { s.refuse("a"); s.refuse("a") }, false},
		"two sessions refused":   {func(s *server) { s.refuse("a"); s.refuse("b") }, true},
		"the client in question": {func(s *server) { s.refuseClient("c", "a", refusedClient, now, time.Minute, time.Hour) }, false},
		"the client refused": {func(s *server) {
			s.refuseClient("c", "a", refusedClient, now, time.Minute, time.Hour)
			s.refuseClient("c", "b", refusedClient, now, time.Minute, time.Hour)
		}, true},
		"another's client refused": {func(s *server) {
			s.refuseClient("d", "a", refusedClient, now, time.Minute, time.Hour)
			s.refuseClient("d", "b", refusedClient, now, time.Minute, time.Hour)
		}, false},
	} {
		s := newServer("as", Limits{}, 1)
		s.sessions = 9
		tt.meet(s)
		before := s.currentEpoch()
		n := s.succeedLocked("c", now)
		if lifted := s.currentEpoch() != before; lifted != tt.lifted {
			t.Errorf("%s: lifted %v; want %v", name, lifted, tt.lifted)
		}
		if told := name == "the client refused"; n.accepted != told {
			t.Errorf("%s: other processes hear of it: %v; want %v", name, n.accepted, told)
		}
	}
}

func TestFallingWaitsGrowWithTheTrouble(t *testing.T) {
	for _, tt := range []struct{ lasted, limit, want time.Duration }{
		{0, time.Hour, time.Minute},
		{30 * time.Second, time.Hour, time.Minute},
		{5 * time.Minute, time.Hour, 5 * time.Minute},
		{12 * time.Hour, time.Hour, time.Hour},
		{12 * time.Hour, 10 * time.Minute, 10 * time.Minute},
		{0, time.Second, time.Minute}, // never below a check interval
	} {
		if got := schedule.FallingWait(tt.lasted, time.Minute, tt.limit); got != tt.want {
			t.Errorf("after %v, at most %v: %v; want %v", tt.lasted, tt.limit, got, tt.want)
		}
	}
	for _, tt := range []struct{ lasted, want time.Duration }{
		{0, noticeWithin}, {29 * time.Minute, noticeWithin}, {30 * time.Minute, 12 * time.Second}, {5 * time.Hour, 2 * time.Minute},
	} {
		if got := schedule.CallerPause(tt.lasted, noticeWithin); got != tt.want {
			t.Errorf("a caller, after %v: %v; want %v", tt.lasted, got, tt.want)
		}
	}
}
