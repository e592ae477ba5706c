package snapshot

import (
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/schedule"
)

func TestExpiryThatIsHandedOutIsWhenARenewalIsDue(t *testing.T) {
	now := time.Now().Round(0)
	in := now.Add
	renewable := schedule.Timing{Renewable: true, Threshold: 5 * time.Minute}
	edited := func(edit func(*schedule.Timing)) schedule.Timing {
		t := renewable
		edit(&t)
		return t
	}
	for name, tt := range map[string]struct {
		ends   time.Time // of the access token
		timing schedule.Timing
		want   time.Time
	}{
		"long life":                {in(2 * time.Hour), renewable, in(115 * time.Minute)},
		"a third of a short life":  {in(9 * time.Minute), renewable, in(6 * time.Minute)},
		"jitter":                   {in(2 * time.Hour), edited(func(t *schedule.Timing) { t.Jitter = 0.5 }), in(2*time.Hour - 315*time.Second)},
		"jitter in a crowd":        {in(2 * time.Hour), edited(func(t *schedule.Timing) { t.Crowded, t.Jitter = true, 0.5 }), in(2*time.Hour - 375*time.Second)},
		"slow server":              {in(2 * time.Hour), edited(func(t *schedule.Timing) { t.Latency = 10 * time.Minute }), in(100 * time.Minute)},
		"refresh token ends first": {in(2 * time.Hour), edited(func(t *schedule.Timing) { t.RefreshExpires = in(time.Hour) }), in(54 * time.Minute)},
		"idle limit ends first":    {in(2 * time.Hour), edited(func(t *schedule.Timing) { t.Idle = 30 * time.Minute }), in(27 * time.Minute)},
		"renewed elsewhere": {
			in(2 * time.Hour), edited(func(t *schedule.Timing) { t.Renewable, t.Elsewhere = false, true }), in(2*time.Hour - 330*time.Second),
		},
		"nothing renews it":      {in(2 * time.Hour), edited(func(t *schedule.Timing) { t.Renewable = false }), in(2 * time.Hour)},
		"seconds":                {in(24 * time.Second), renewable, in(24 * time.Second)},
		"end not known":          {time.Time{}, renewable, time.Time{}},
		"only an idle limit":     {time.Time{}, edited(func(t *schedule.Timing) { t.Idle = 30 * time.Minute }), in(27 * time.Minute)},
		"never, written as year": {time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), renewable, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			tt.timing.Issued, tt.timing.Expires = now, tt.ends
			s := New(&oauth.TokenPair{AccessToken: "a", IssuedAt: now, ExpiresAt: tt.ends}, tt.timing, 1, moment.Of(now))
			if got := s.lasting().Expiry; !got.Equal(tt.want) {
				t.Errorf("Expiry in %v; want in %v", got.Sub(now), tt.want.Sub(now))
			}
		})
	}
}

// x/oauth2 calls a token invalid ten seconds before its Expiry. Close to a renewal
// caches get one that is valid until the renewal is due, and then for a moment.
func TestTokenForTheTimeAroundARenewal(t *testing.T) {
	now := time.Now().Round(0)
	const end, due = 2 * time.Hour, 115 * time.Minute
	pair := &oauth.TokenPair{AccessToken: "a", IssuedAt: now, ExpiresAt: now.Add(end)}
	s := New(pair, schedule.Timing{Issued: now, Expires: now.Add(end), Renewable: true, Threshold: 5 * time.Minute}, 1, moment.Of(now))
	for at, want := range map[time.Duration]time.Duration{
		due - cacheMargin:     due + cacheMargin,
		due - time.Second:     due + cacheMargin,
		due:                   due + cacheMargin + passingFor,
		due + time.Minute:     due + time.Minute + cacheMargin + passingFor,
		end - cacheMargin:     end,
		end - time.Nanosecond: end,
		-time.Hour:            -time.Hour + 2*cacheMargin, // the clock was set back, and the time has passed
	} {
		if got := s.passing(moment.Of(now).Add(at)).Expiry; !got.Equal(now.Add(want)) {
			t.Errorf("at %v: Expiry at %v; want at %v", at, got.Sub(now), want)
		}
	}
}
