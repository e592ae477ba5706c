package failure_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/failure"
)

// What an error means does not depend on how deep it is wrapped, and an error that is
// none of ours leaves open what has happened.
func TestWhatAnErrorMeans(t *testing.T) {
	odd := errors.New("connection reset")
	panicked := failure.Guard("f", func() error { panic("secret") })
	answered := func(status int, kind error, code string) error {
		return &oauth.Error{Op: "refresh", Kind: kind, Status: status, Code: code, Sent: true}
	}
	page := func(status int) error {
		return &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: status, Page: true, Sent: true}
	}
	for _, tt := range []struct {
		name    string
		err     error
		verdict oauth.Verdict
		unknown bool
		unspent bool
		outage  bool
		busy    bool
		arrived bool
	}{
		{"an error that says nothing", odd, oauth.VerdictUnknown, true, false, true, false, true},
		{"a panic", panicked, oauth.VerdictTrouble, false, false, true, false, true},
		{"a bare word of trouble", oauth.ErrTransient, oauth.VerdictTrouble, false, false, true, false, true},
		{"a page under 404", page(404), oauth.VerdictTrouble, false, true, true, false, true},
		{"a page under 200", page(200), oauth.VerdictUnknown, true, false, true, false, true},
		{"a word of trouble under 400", answered(400, oauth.ErrTransient, "temporarily_unavailable"), oauth.VerdictTrouble, false, true, false, true, true},
		{"a refusal in odd words", answered(400, oauth.ErrTransient, "odd"), oauth.VerdictUnclear, false, true, false, false, true},
		{"not sent", failure.Transient(odd), oauth.VerdictTrouble, false, true, true, false, false},
		{"no session", failure.LoginRequired(odd), oauth.VerdictEnded, false, true, false, false, false},
		{"a bare sentinel", oauth.ErrLoginRequired, oauth.VerdictEnded, false, false, false, false, true},
		{"503", answered(503, oauth.ErrTransient, ""), oauth.VerdictTrouble, false, true, true, false, true},
		{"502", answered(502, oauth.ErrTransient, ""), oauth.VerdictTrouble, false, false, true, false, true},
		{"429", answered(429, oauth.ErrTransient, ""), oauth.VerdictTrouble, false, true, false, true, true},
		{"invalid_grant", answered(400, oauth.ErrLoginRequired, "invalid_grant"), oauth.VerdictEnded, false, true, false, false, true},
		{"invalid_client", answered(401, oauth.ErrMisconfigured, "invalid_client"), oauth.VerdictClient, false, true, false, false, true},
	} {
		for _, err := range []error{tt.err, errors.Join(errors.New("wrapped"), tt.err)} {
			if v := failure.Verdict(err); v != tt.verdict {
				t.Errorf("%s: verdict %v, want %v", tt.name, v, tt.verdict)
			}
			if failure.Unknown(err) != tt.unknown || failure.NotSpent(err, tt.verdict) != tt.unspent ||
				failure.Outage(err) != tt.outage || failure.Busy(err) != tt.busy || failure.Arrived(err) != tt.arrived {
				t.Errorf("%s: unknown %v, not spent %v, outage %v, busy %v, arrived %v", tt.name, failure.Unknown(err),
					failure.NotSpent(err, tt.verdict), failure.Outage(err), failure.Busy(err), failure.Arrived(err))
			}
		}
	}
	if failure.Outage(nil) || failure.Busy(nil) {
		t.Error("a success counts as trouble")
	}
}

func TestWithKindKeepsWhatTheServerSaid(t *testing.T) {
	said := &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Code: "odd", Status: 400, Sent: true}
	cause := errors.New("cause")
	err := failure.WithKind(said, oauth.ErrLoginRequired, cause)
	if !errors.Is(err, oauth.ErrLoginRequired) || !errors.Is(err, cause) || failure.Code(err) != "odd" || errors.Is(said, oauth.ErrLoginRequired) {
		t.Errorf("%v", err)
	}
}

// One dead session, of which a backend says so under 500, does not hold the others back.
func TestAWordAboutTheGrantUnderA500IsNoOutage(t *testing.T) {
	for _, reason := range []error{oauth.ErrTokenInvalid, oauth.ErrUserNotFound} {
		if failure.Outage(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 500, Sent: true, Err: reason}) {
			t.Errorf("500 with %v counts as an outage", reason)
		}
	}
	if !failure.Outage(&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 500, Sent: true}) {
		t.Error("500 without a word does not count as an outage")
	}
}

// A Refresher of a program may say any time, and a mistake in it is not to end a session.
func TestNoWaitIsLongerThanTheLongestThatIsBelieved(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for wait, want := range map[time.Duration]time.Duration{
		-time.Hour: -time.Hour, time.Minute: time.Minute, time.Hour: time.Hour, 5 * time.Hour: time.Hour, 200 * 365 * 24 * time.Hour: time.Hour,
	} {
		err := fmt.Errorf("wrapped: %w", &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503, Sent: true, RetryAt: now.Add(wait)})
		if got := failure.RetryAt(err, now).Sub(now); got != want {
			t.Errorf("asked to wait for %v, waits for %v; want %v", wait, got, want)
		}
	}
	if at := failure.RetryAt(failure.Transient(nil), now); !at.IsZero() {
		t.Errorf("waits until %v without having been asked to", at)
	}
}
