package oauth

import (
	"fmt"
	"testing"
	"time"
)

// The server's clock is an hour ahead of ours, so that a time told by it is an hour
// late unless it is taken relative to its Date.
func TestEndOfAccessTokenIsKnownAsPeopleSendIt(t *testing.T) {
	const hour = time.Hour
	date := sentAt.Add(hour)
	epoch := date.Add(hour).Unix()
	for members, want := range map[string]time.Duration{
		`"expires_in":3600000,"expires_in_sec":3600`:                       hour,
		`"expires_in":3600000`:                                             hour,
		`"expires_in":900000`:                                              15 * time.Minute,
		`"expires_in":28800000`:                                            8 * hour,
		`"expires_in":604800000`:                                           7 * 24 * hour, // more than ten years in seconds
		`"expires_in":604800`:                                              7 * 24 * hour,
		`"expires_in":5184000`:                                             60 * 24 * hour,
		`"expires_in":31536000`:                                            365 * 24 * hour,
		`"expires_in_ms":3600000`:                                          hour,
		`"expires_in_ms":1500`:                                             1500 * time.Millisecond,
		`"expiresIn":"3600"`:                                               hour,
		`"expires-in":3600`:                                                hour,
		`"expires":3600`:                                                   hour,
		`"expires_in_seconds":3600000`:                                     3600000 * time.Second,
		fmt.Sprintf(`"expires_at":%d`, epoch):                              hour,
		fmt.Sprintf(`"expires_at":"%d"`, epoch):                            hour,
		fmt.Sprintf(`"expires_on":%d`, epoch*1000):                         hour,
		fmt.Sprintf(`"expires":%d`, epoch):                                 hour,
		fmt.Sprintf(`"expires_in":%d`, epoch):                              hour, // a number that is not a lifetime
		fmt.Sprintf(`"expires_in":%d`, epoch*1000):                         hour,
		fmt.Sprintf(`"accessTokenExpiresAt":%d`, epoch):                    hour,
		`"expiry":"2026-11-20T12:00:00Z"`:                                  hour,
		`"expire":"2026-11-20T13:00:00.000+01:00"`:                         hour,
		`"expires_at":"2026-11-20T12:00:00"`:                               hour,
		`"expires_at":"2026-11-20 12:00:00"`:                               hour,
		`"expiration":"Fri, 20 Nov 2026 12:00:00 GMT"`:                     hour,
		`"expires_in":7200,"expires_at":` + fmt.Sprint(epoch):              hour, // the earlier one
		`"expires_in":60,"ext_expires_in":7200`:                            time.Minute,
		`"ext_expires_in":7200`:                                            2 * hour,
		`"expires_in":0,"expires":3600`:                                    hour,
		`"expires_in":-3,"expires":3600`:                                   0,  // dead, as a replay says
		`"expires_at":"2026-11-20T11:00:00Z"`:                              -1, // past: no evidence
		`"expires_at":"soon"`:                                              -1,
		`"expires_at":null`:                                                -1,
		`"expires_at":{}`:                                                  -1,
		`"refresh_expires_in":60,"id_token_expires_in":60,"refresh_in":60`: -1,
	} {
		pair, fail := judge(answered(opRefresh, 200, `{"access_token":"a",`+members+`}`, "Date", date.Format("Mon, 02 Jan 2006 15:04:05 GMT")))
		if fail != nil {
			t.Fatal(fail)
		}
		life, known := pair.Lifetime()
		if !known {
			life = -1
		}
		if life != want {
			t.Errorf("%s: lifetime %v; want %v", members, life, want)
		}
	}
}

func TestServersWishToBeAskedEarlyIsKept(t *testing.T) {
	for members, want := range map[string]time.Duration{
		`"expires_in":3600,"refresh_in":1800`:     30 * time.Minute,
		`"expires_in":"3600","refresh_in":"1800"`: 30 * time.Minute,
		`"refresh_in":1800`:                       30 * time.Minute,
		`"expires_in":3600,"refresh_in":3600`:     0,
		`"expires_in":3600,"refresh_in":0`:        0,
		`"expires_in":3600,"refresh_in":-1`:       0,
		`"refresh_in":1e30`:                       0,
		`"expires_in":3600`:                       0,
	} {
		pair, _ := judge(answered(opRefresh, 200, `{"access_token":"a",`+members+`}`))
		var at time.Time
		if want > 0 {
			at = sentAt.Add(want)
		}
		if !pair.RefreshAt.Equal(at) {
			t.Errorf("%s: hint %v; want %v", members, pair.RefreshAt, at)
		}
	}
}

// A refresh token's end that comes too early would be announced to a person.
func TestLifeOfRefreshTokenIsNotGuessed(t *testing.T) {
	for member, want := range map[string]time.Duration{
		`"refresh_token_expires_in":3600000`:    3600000 * time.Second,
		`"refresh_token_expiration":3600000`:    3600000 * time.Second,
		`"refresh_token_expires_in":8640000000`: 100 * 24 * time.Hour, // more than ten years in seconds
	} {
		pair, _ := judge(answered(opRefresh, 200, `{"access_token":"a",`+member+`}`))
		if got := pair.RefreshExpiresAt.Sub(sentAt); got != want {
			t.Errorf("%s: %v; want %v", member, got, want)
		}
	}
}
