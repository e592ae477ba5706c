package refresh_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

func TestStatusHasTheSevenFieldsPeopleKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		if st := f.GetRefreshStatus(); *st != (refresh.RefreshStatus{Session: "default", State: refresh.StateNone}) {
			t.Errorf("before Start: %+v", st)
		}
		f.start(t)
		began := time.Now()
		time.Sleep(minute)
		st := f.GetRefreshStatus()
		if !st.IsRunning || st.NeedsRefresh || st.State != refresh.StateValid {
			t.Errorf("a minute after Start: %+v", st)
		}
		if !st.ExpiresAt.Equal(began.Add(15*minute)) || st.TimeUntilExpiry != 14*minute || !st.LastRefreshAt.IsZero() {
			t.Errorf("expires %v, in %v, last refreshed %v", st.ExpiresAt, st.TimeUntilExpiry, st.LastRefreshAt)
		}
		// Five minutes before the end, and at most a tenth of that earlier.
		if lead := st.ExpiresAt.Sub(st.RefreshAt); lead < 5*minute || lead > 5*minute+30*time.Second {
			t.Errorf("a refresh is due %v before the end", lead)
		}
		if st.TimeUntilRefresh != time.Until(st.RefreshAt) {
			t.Errorf("due in %v; want %v", st.TimeUntilRefresh, time.Until(st.RefreshAt))
		}
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st = f.GetRefreshStatus(); !st.LastRefreshAt.Equal(time.Now()) || !st.ExpiresAt.Equal(time.Now().Add(15*minute)) {
			t.Errorf("after a refresh: %+v", st)
		}
		if !st.LastRefreshAt.Equal(f.GetLastRefreshAt()) || !st.ExpiresAt.Equal(f.GetExpiresAt()) {
			t.Error("status and getters disagree")
		}
		f.Stop()
		if st = f.GetRefreshStatus(); st.IsRunning || st.ExpiresAt.IsZero() {
			t.Errorf("after Stop: %+v", st)
		}
		f.clean(t)
	})
}

func TestNeedsRefreshFromTheDueTimeOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		f.server.Script(oauthtest.Fault{Status: http.StatusServiceUnavailable, Times: -1})
		time.Sleep(time.Until(f.GetRefreshStatus().RefreshAt) - 1)
		if st := f.GetRefreshStatus(); st.NeedsRefresh || st.TimeUntilRefresh != 1 {
			t.Errorf("a nanosecond before it is due: %+v", st)
		}
		time.Sleep(time.Nanosecond)
		if st := f.GetRefreshStatus(); !st.NeedsRefresh || st.TimeUntilRefresh != 0 {
			t.Errorf("when it is due: %+v", st)
		}
		time.Sleep(20 * minute)
		st := f.GetRefreshStatus()
		if !st.NeedsRefresh || st.TimeUntilExpiry >= 0 || st.TimeUntilRefresh >= 0 {
			t.Errorf("long past: %+v; want negative times", st)
		}
		if st.State != refresh.StateRetrying || st.Failures < 15 || st.LastError == "" || !st.NextAttempt.After(time.Now()) {
			t.Errorf("in an outage: %+v", st)
		}
		f.clean(t)
	})
}

func TestEndedSessionNeedsNoRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{})
		f.loseToken(t)
		if st := f.GetRefreshStatus(); st.NeedsRefresh || st.State != refresh.StateLoginRequired || !st.NextAttempt.IsZero() || st.LastError == "" {
			t.Errorf("%+v", st)
		}
		requests := f.tokenRequests()
		if err := f.ForceRefresh(t.Context()); !errors.Is(err, oauth.ErrLoginRequired) || f.tokenRequests() != requests {
			t.Errorf("ForceRefresh: %v after %d more requests; want the verdict and none", err, f.tokenRequests()-requests)
		}
		f.clean(t)
	})
}

func TestStatusMarshalsToJSONForScripts(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	full := refresh.RefreshStatus{
		IsRunning: true, NeedsRefresh: true, ExpiresAt: at, RefreshAt: at.Add(-5 * minute), LastRefreshAt: at.Add(-15 * minute),
		TimeUntilExpiry: 90 * time.Second, TimeUntilRefresh: -210500 * time.Millisecond,
		Session: "alice", State: refresh.StateRetrying, LastError: "why", NextAttempt: at, Failures: 3, Unsaved: true, SaveError: "disk",
		RefreshExpiresAt: at.Add(time.Hour), ClockSkew: -2 * time.Second,
	}
	for _, tt := range []struct {
		status any
		want   string
	}{
		{full, `{"session":"alice","state":"retrying","is_running":true,"needs_refresh":true,` +
			`"expires_at":"2026-11-20T12:00:00Z","refresh_at":"2026-11-20T11:55:00Z","last_refresh_at":"2026-11-20T11:45:00Z",` +
			`"time_until_expiry":90,"time_until_refresh":-210.5,"last_error":"why","next_attempt":"2026-11-20T12:00:00Z","failures":3,` +
			`"unsaved":true,"save_error":"disk","refresh_expires_at":"2026-11-20T13:00:00Z","clock_skew":-2}`},
		{&refresh.RefreshStatus{Session: "default", State: refresh.StateNone},
			`{"session":"default","state":"none","is_running":false,"needs_refresh":false,"time_until_expiry":0,"time_until_refresh":0}`},
	} {
		if got, err := json.Marshal(tt.status); err != nil || string(got) != tt.want {
			t.Errorf("JSON %s, %v; want %s", got, err, tt.want)
		}
	}
}

func TestStatusHoldsNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.Store = new(fullDisk) }).start(t)
		for _, fault := range []oauthtest.Fault{
			{Body: `{"error":"invalid_request","error_description":"TOKEN"}`, Status: http.StatusBadRequest},
			{Body: "TOKEN", Status: http.StatusInternalServerError},
			{CutBody: true},
			{},
		} {
			secrets := []string{f.GetTokens().AccessToken, f.GetTokens().RefreshToken, f.GetTokens().IDToken, "TOKEN"}
			f.server.Script(fault)
			_ = f.ForceRefresh(t.Context())
			st := f.GetRefreshStatus()
			text, err := json.Marshal(st)
			if err != nil {
				t.Fatal(err)
			}
			all := fmt.Sprintf("%s %+v %#v %v", text, st, st, *st)
			for _, secret := range append(secrets, f.GetTokens().AccessToken, f.GetTokens().RefreshToken) {
				if strings.Contains(all, secret) {
					t.Errorf("the status shows a secret: %s", all)
				}
			}
			time.Sleep(minute)
		}
	})
}
