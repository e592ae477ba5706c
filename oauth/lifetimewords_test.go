package oauth

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
)

// skews are by how much a server's clock is ahead of ours.
var skews = []time.Duration{0, 10 * time.Minute, -10 * time.Minute, 24 * time.Hour, -24 * time.Hour}

// judgedAt is the pair of an answer with these members from a server with this clock,
// and the lives of its tokens, or -1.
func judgedAt(clock time.Time, members string) (access, refresh time.Duration) {
	pair, _ := judge(answered(opRefresh, 200, "{"+members+"}", "Date", clock.UTC().Format(http.TimeFormat)))
	access, refresh = -1, -1
	if pair != nil && !pair.ExpiresAt.IsZero() {
		access = pair.ExpiresAt.Sub(sentAt)
	}
	if pair != nil && !pair.RefreshExpiresAt.IsZero() {
		refresh = pair.RefreshExpiresAt.Sub(sentAt)
	}
	return access, refresh
}

func TestLifeIsKnownInWords(t *testing.T) {
	const hour = time.Hour
	for text, want := range map[string]time.Duration{
		"3600s": hour, "3600.0": hour, " 3600 ": hour, "+3600": hour, "3600 seconds": hour, "1h": hour, "60m": hour, "60min": hour,
		"60 minutes": hour, "1 hour": hour, "1hr": hour, "1h0m0s": hour, "3600000ms": hour, "1H": hour, "PT1H": hour, "PT60M": hour,
		"PT3600S": hour, "pt1h": hour, "PT3600.0S": hour, "01:00:00": hour, "0.01:00:00": hour, "1:00:00.0000000": hour,
		"15m": 15 * time.Minute, "PT1H30M": 90 * time.Minute, "1h 30m": 90 * time.Minute, "1 hour, 30 minutes": 90 * time.Minute,
		"1d": lifetime.Day, "7d": 7 * lifetime.Day, "7 days": 7 * lifetime.Day, "1w": 7 * lifetime.Day, "P7D": 7 * lifetime.Day, "P1DT1H": lifetime.Day + hour, "P1M": 30 * lifetime.Day, "P1W": 7 * lifetime.Day, "1.00:00:00": lifetime.Day,
		"": -1, "never": -1, "P": -1, "PT": -1, "0s": -1, "soon 1h": -1, "1h and a bit": -1, "h": -1, "1": time.Second, "1:00": -1, "99999999999h": -1,
		"1.2.3h": -1, "11y": -1, "-1h": -1, "::": -1, "1e9h": -1,
	} {
		for name, of := range map[string]func(a, r time.Duration) time.Duration{
			"expires_in":               func(a, _ time.Duration) time.Duration { return a },
			"refresh_token_expires_in": func(_, r time.Duration) time.Duration { return r },
		} {
			if got := of(judgedAt(sentAt, fmt.Sprintf(`"access_token":"a","refresh_token":"r",%q:%q`, name, text))); got != want {
				t.Errorf("%s %q: %v; want %v", name, text, got, want)
			}
		}
	}
}

func TestUnitInTheNameIsTaken(t *testing.T) {
	for member, want := range map[string]time.Duration{
		`"expires_in_minutes":60`: time.Hour, `"expiresInHours":"1"`: time.Hour, `"expires_in_days":1`: lifetime.Day, `"expires_in_ms":3600000`: time.Hour,
		`"expires_in":3600000.0`: time.Hour, `"expires_in":1800000`: 30 * time.Minute, `"expires_in":"7200000"`: 2 * time.Hour, `"expires_in":3.6e3`: time.Hour,
		`"expires_in":43200000`: 12 * time.Hour, `"expires_in":86400000`: lifetime.Day, `"expires_in":7776000`: 90 * lifetime.Day, `"expires_in":86400`: lifetime.Day,
		`"expires_in":true`: -1, `"expires_in":{}`: -1, `"expires_at":false`: -1, `"expires_at":[]`: -1, `"expires_at":0`: -1, `"expires_at":"0001-01-01T00:00:00Z"`: -1,
	} {
		if got, _ := judgedAt(sentAt, `"access_token":"a",`+member); got != want {
			t.Errorf("%s: %v; want %v", member, got, want)
		}
	}
}

// Server and we may disagree about the time: its own Date is what counts.
func TestTimeOfTheEndIsKnownInEveryNotation(t *testing.T) {
	for _, skew := range skews {
		date := sentAt.Add(skew)
		end := date.Add(time.Hour)
		s := end.Unix()
		values := []string{
			fmt.Sprint(s), fmt.Sprint(s * 1000), fmt.Sprint(s * 1_000_000), fmt.Sprint(s * 1_000_000_000), fmt.Sprintf("%d.25", s), fmt.Sprintf(`"%d.0"`, s), fmt.Sprintf("[%d]", s),
			fmt.Sprintf(`"/Date(%d)/"`, s*1000), fmt.Sprintf(`"\/Date(%d+0100)\/"`, s*1000), fmt.Sprintf(`{"date":%q,"timezone_type":3,"timezone":"UTC"}`, end.Format("2006-01-02 15:04:05.000000")),
			fmt.Sprintf(`{"$date":%d}`, s*1000), fmt.Sprintf(`{"$date":{"$numberLong":"%d"}}`, s*1000), fmt.Sprintf(`{"_seconds":%d,"_nanoseconds":0}`, s), fmt.Sprintf(`{"seconds":"%d"}`, s),
			fmt.Sprintf("%q", end.In(time.FixedZone("", 5*3600+1800)).Format(time.RFC3339)),
		}
		for _, layout := range append([]string{
			"2006-01-02T15:04:05.0000000Z", "2006-01-02T15:04:05+00", "2006-01-02 15:04:05.999999999 +0000 UTC", "2006-01-02T15:04:05Z[UTC]", "2006-01-02t15:04:05z", "2006-01-02T15:04:05,000Z",
			"Mon Jan 02 2006 15:04:05 GMT+0000 (Coordinated Universal Time)", "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC, time.RFC1123, http.TimeFormat,
		}, member.TimeLayouts...) {
			values = append(values, fmt.Sprintf("%q", end.Format(layout)))
		}
		for _, value := range values {
			access, _ := judgedAt(date, `"access_token":"a","refresh_token":"r","expires_at":`+value)
			_, refresh := judgedAt(date, `"access_token":"a","refresh_token":"r","refreshTokenExpiresAt":`+value)
			if access != time.Hour || refresh != time.Hour {
				t.Errorf("%s, clock %v ahead: %v and %v; want an hour", value, skew, access, refresh)
			}
		}
		for _, value := range []string{end.Format("2006-01-02 15:04:05 PST"), end.Format("Mon, 02 Jan 2006 15:04:05 EST"), end.Format("Monday, 02-Jan-06 15:04:05 IST"), end.Format("02/01/2006 15:04:05")} {
			if access, _ := judgedAt(date, fmt.Sprintf(`"access_token":"a","expires_at":%q`, value)); access != -1 {
				t.Errorf("%s: %v; a time that can mean several is none", value, access)
			}
		}
	}
}

// jwtOf is a JWT with these claims.
func jwtOf(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte("{"+claims+"}")) + ".c2ln"
}

func TestClaimsTellTheLifeInEveryNotation(t *testing.T) {
	for _, skew := range skews {
		date := sentAt.Add(skew)
		s := date.Unix()
		for claims, want := range map[string]time.Duration{
			`"exp":END,"iat":NOW`: time.Hour, `"exp":END`: time.Hour, `"exp":"END"`: time.Hour, `"exp":END.5,"iat":NOW.5`: time.Hour, `"exp":END,"nbf":NOW`: time.Hour,
			`"exp":END,"orig_iat":NOW`: time.Hour, `"exp":END000,"iat":NOW000`: time.Hour, `"exp":END000,"iat":NOW`: time.Hour, `"exp":END000`: time.Hour,
			`"exp":"ISO"`: time.Hour, `"exp":END,"iat":0`: time.Hour, `"exp":END,"iat":"x"`: time.Hour, `"exp":END,"nbf":0`: time.Hour, `"exp":[END]`: time.Hour,
			`"exp":END,"iat":946684800`:              time.Hour, // as from a cache
			`"exp":END,"nbf":EARLY`:                  time.Hour, // for clocks that are behind
			`"exp":END,"nbf":EARLY,"orig_iat":EARLY`: time.Hour,
			`"exp":END,"orig_iat":EARLY`:             time.Hour, // renewed since
			`"exp":END,"iat":EARLY`:                  time.Hour, // as from a cache, too
			`"exp":END,"nbf":LATE`:                   time.Hour - 3*time.Minute,
			`"exp":END,"nbf":END`:                    time.Hour,
			`"exp":99999999999999,"iat":NOW`:         -1, `"exp":-1`: -1, `"exp":true`: -1, `"iat":NOW`: -1, `"exp":NOW,"iat":END`: -1, `"exp":1e300`: -1,
		} {
			claims = strings.NewReplacer("END", fmt.Sprint(s+3600), "NOW", fmt.Sprint(s), "EARLY", fmt.Sprint(s-180), "LATE", fmt.Sprint(s+180), "ISO", date.Add(time.Hour).Format(time.RFC3339)).Replace(claims)
			access, refresh := judgedAt(date, fmt.Sprintf(`"access_token":%q,"refresh_token":%q`, jwtOf(claims), jwtOf(claims)))
			if access != want || refresh != want {
				t.Errorf("%s, clock %v ahead: %v and %v; want %v", claims, skew, access, refresh, want)
			}
		}
	}
}

func TestEveryNameOfAnEndIsKnown(t *testing.T) {
	end := sentAt.Add(time.Hour)
	for _, name := range []string{
		"expires_at", "expiresAt", "expires-at", "ExpiresAt", "EXPIRES_AT", "expires_on", "expires", ".expires", "expiry", "expiration", "exp", "expiry_date", "token_expiry",
		"expiration_time", "expireTime", "expires_timestamp", "expiresAtMs", "expiresAtUtc", "access_token_expires_at", "accessTokenExpiry", "accessTokenExpirationTime", "valid_until", "expires_date",
	} {
		for _, value := range []string{fmt.Sprint(end.Unix()), fmt.Sprint(end.UnixMilli()), fmt.Sprintf("%q", end.Format(time.RFC3339))} {
			access, refresh := judgedAt(sentAt, fmt.Sprintf(`"access_token":"a","refresh_token":"r",%q:%s`, name, value))
			if access != time.Hour || refresh != -1 {
				t.Errorf("%s %s: %v and %v; want an hour, and nothing of the refresh token", name, value, access, refresh)
			}
		}
	}
}

// Without a Date, a server whose clock is hours behind ours has given out tokens that have
// ended by our clock.
func TestClaimsTellTheLifeWithoutADateToo(t *testing.T) {
	end := sentAt.Add(-time.Hour).Unix()
	for claims, want := range map[string]time.Duration{
		fmt.Sprintf(`{"exp":%d,"iat":%d}`, end, end-1800):      30 * time.Minute,
		fmt.Sprintf(`{"exp":%d,"nbf":%d}`, end, end-1800):      30 * time.Minute,
		fmt.Sprintf(`{"exp":%d,"orig_iat":%d}`, end, end-1800): 30 * time.Minute,
		fmt.Sprintf(`{"exp":%d}`, end):                         -1,
	} {
		encode := base64.RawURLEncoding.EncodeToString
		token := encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(claims)) + ".c2ln"
		pair, _ := judge(answered(opRefresh, 200, fmt.Sprintf(`{"access_token":%q}`, token)))
		got := time.Duration(-1)
		if life, known := pair.Lifetime(); known {
			got = life
		}
		if got != want {
			t.Errorf("%s: %v; want %v", claims, got, want)
		}
	}
}

// A Date that is far from our clock makes nothing of an end that the token alone tells: the
// nearer end that is still to come counts.
func TestAnEndThatTheTokenAloneTellsIsBoundedByBothClocks(t *testing.T) {
	token := jwtOf(fmt.Sprintf(`"exp":%d`, sentAt.Add(time.Hour).Unix()))
	for ahead, want := range map[time.Duration]time.Duration{
		0: time.Hour, -30 * lifetime.Day: time.Hour, -90 * lifetime.Day: time.Hour, 2 * time.Hour: time.Hour, 30 * lifetime.Day: time.Hour,
		-20 * time.Minute: 80 * time.Minute, 20 * time.Minute: 40 * time.Minute, // our clock can be the wrong one
	} {
		access, refresh := judgedAt(sentAt.Add(ahead), fmt.Sprintf(`"access_token":%q,"refresh_token":%q`, token, token))
		if access != want || refresh != want {
			t.Errorf("Date %v ahead: %v and %v; want %v", ahead, access, refresh, want)
		}
	}
}

// A token that says itself when it ends decides what an answer can mean.
func TestTheTokensOwnLifeDecidesBetweenReadings(t *testing.T) {
	const hour, day = time.Hour, lifetime.Day
	zoneless := func(in time.Duration) string { return sentAt.Add(in).UTC().Format(`"2006-01-02T15:04:05"`) }
	for _, test := range []struct {
		members   string
		own, want time.Duration // own is zero for a token that tells nothing
	}{
		{`"expires_in":172800000`, 2 * day, 2 * day},
		{`"expires_in":172799000`, 2 * day, 2*day - time.Second},
		{`"expires_in":31536000`, 365 * day, 365 * day},
		{`"expires_in":3600000`, 3600000 * time.Second, 3600000 * time.Second}, // seconds for once
		{`"expires_in":1209000`, 1209 * time.Second, 1209 * time.Second},
		{`"expires_in":-1`, hour, hour},
		{`"expires_in":-1`, 0, -1}, // many write it for a token that does not end
		{`"expires_in":-3`, hour, hour},
		{`"expires_in":-3`, -hour, 0},
		{`"expires_in":-1`, -hour, 0},
		{`"expires_in":-3`, 0, 0},
		{`"expires_in":3600`, 60 * time.Second, hour},
		{`"expire":` + zoneless(9*hour), hour, hour}, // of a server at UTC+8
		{`"expire":` + zoneless(9*hour), 0, 9 * hour},
		{`"expiresAt":` + zoneless(hour), 9 * hour, hour},
		{`"expiresAt":` + zoneless(-4*hour), hour, hour}, // west of Greenwich
		{`"expire":"` + sentAt.Add(9*hour).UTC().Format(time.RFC3339) + `"`, hour, 9 * hour},
	} {
		token := "a"
		if test.own != 0 {
			token = jwtOf(fmt.Sprintf(`"iat":%d,"exp":%d`, sentAt.Add(min(0, 2*test.own)).Unix(), sentAt.Add(test.own).Unix()))
		}
		if got, _ := judgedAt(sentAt, fmt.Sprintf(`"access_token":%q,%s`, token, test.members)); got != test.want {
			t.Errorf("%s with a token of %v: %v; want %v", test.members, test.own, got, test.want)
		}
	}
}

func TestNumbersThatNoLifeInSecondsIsAreReadAsMeant(t *testing.T) {
	const day, year = lifetime.Day, 365 * lifetime.Day
	at := sentAt.Add(time.Hour)
	for number, want := range map[int64]struct{ access, refresh time.Duration }{
		172800000:                 {2 * day, 2 * day},
		259200000:                 {3 * day, 3 * day},
		90000000:                  {25 * time.Hour, 90000000 * time.Second},
		172799000:                 {2*day - time.Second, 172799000 * time.Second},
		31536000:                  {year, year},
		63072000:                  {2 * year, 2 * year},
		157680000:                 {5 * year, 5 * year},
		315360000:                 {10 * year, 10 * year},
		100000000:                 {100000000 * time.Second, 100000000 * time.Second}, // a round number
		1814400000:                {21 * day, 21 * day},
		at.Unix():                 {time.Hour, time.Hour},
		at.UnixMilli():            {time.Hour, time.Hour},
		at.Add(-day).Unix():       {-1, -1},
		int64(5 * time.Second):    {-1, -1}, // nanoseconds were seen
		int64(30 * time.Minute):   {-1, -1},
		int64(900 * time.Second):  {-1, -1},
		9_000_000_000_000_000_000: {-1, -1},
	} {
		access, refresh := judgedAt(sentAt, fmt.Sprintf(`"access_token":"a","refresh_token":"r","expires_in":%d,"refresh_token_expires_in":%d`, number, number))
		if access != want.access || refresh != want.refresh {
			t.Errorf("%d: %v and %v; want %v and %v", number, access, refresh, want.access, want.refresh)
		}
	}
}

func TestAWordForAnythingCountsWithoutExpiresInOnly(t *testing.T) {
	for members, want := range map[string]time.Duration{
		`"expires_in":3600,"ttl":1`: time.Hour, `"expires_in":3600,"max_age":5`: time.Hour, `"expiresIn":3600,"validity":60`: time.Hour,
		`"expires_in":"1h","lifetime_minutes":5`: time.Hour, `"expires_in":3600,"token_ttl":60`: time.Minute, `"ttl":60`: time.Minute,
		`"expires_in":0,"ttl":60`: time.Minute, `"expires_in":null,"max_age":60`: time.Minute, `"expires_in":3600,"expires_at":60`: time.Minute,
	} {
		if got, _ := judgedAt(sentAt, `"access_token":"a",`+members); got != want {
			t.Errorf("%s: %v; want %v", members, got, want)
		}
	}
}
