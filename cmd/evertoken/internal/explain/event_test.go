package explain

import (
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// The output of watch tells of doubts about the session, what helps, and when they are over.
func TestDoubtsAboutASessionAreToldWithWhatHelps(t *testing.T) {
	now := time.Now()
	refused := &oauth.Error{Op: "refresh", Kind: oauth.ErrLoginRequired, Status: 400, Code: "invalid_request", Sent: true, Err: refresh.ErrSuspected}
	for _, tt := range []struct {
		event refresh.Event
		want  []string
	}{
		{refresh.Event{Kind: refresh.EventSuspected, Time: now, Err: refused, NextAttempt: now.Add(time.Minute)},
			[]string{"probably ended", "invalid_request (HTTP 400)", "evertoken login", "next try in 1m00s"}},
		{refresh.Event{Kind: refresh.EventMisconfigured, Time: now, Err: refused}, []string{"a setting has to be changed"}},
		{refresh.Event{Kind: refresh.EventRecovered, Time: now}, []string{"well again"}},
	} {
		got := guide.Event(tt.event)
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q; want %q in it", tt.event.Kind, got, want)
			}
		}
	}
}
