package session

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh/internal/snapshot"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestMarksAreTheSameIfAllThatTheySayIs(t *testing.T) {
	at := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	mark := func() *tokenstore.Mark {
		return &tokenstore.Mark{Token: "t", At: at, Code: "c", By: "b", Certain: true, Last: at, Count: 2}
	}
	if !sameMark(nil, nil) || sameMark(mark(), nil) || sameMark(nil, mark()) || !sameMark(mark(), mark()) {
		t.Error("a mark and none are not told apart")
	}
	local := mark()
	local.At, local.Last = at.In(time.FixedZone("x", 3600)), at.In(time.FixedZone("x", 3600))
	if !sameMark(mark(), local) {
		t.Error("the time zone counts")
	}
	for name, change := range map[string]func(m *tokenstore.Mark){
		"token":   func(m *tokenstore.Mark) { m.Token = "x" },
		"time":    func(m *tokenstore.Mark) { m.At = at.Add(1) },
		"code":    func(m *tokenstore.Mark) { m.Code = "x" },
		"by":      func(m *tokenstore.Mark) { m.By = "x" },
		"certain": func(m *tokenstore.Mark) { m.Certain = false },
		"last":    func(m *tokenstore.Mark) { m.Last = at.Add(1) },
		"count":   func(m *tokenstore.Mark) { m.Count = 3 },
	} {
		other := mark()
		change(other)
		if sameMark(mark(), other) || sameMark(other, mark()) {
			t.Errorf("marks of another %s are the same", name)
		}
	}
}

func TestWhatAHealthSays(t *testing.T) {
	for name, tt := range map[string]struct {
		h                     Health
		ended, told, hopeless bool
	}{
		"valid":          {h: Health{State: StateValid}},
		"retrying":       {h: Health{State: StateRetrying, Err: oauth.ErrUnreadAnswer}},
		"misconfigured":  {h: Health{State: StateMisconfigured, Err: oauth.ErrClientRefused}, told: true},
		"unread":         {h: Health{State: StateMisconfigured, Err: oauth.ErrUnreadAnswer}, told: true, hopeless: true},
		"suspected":      {h: Health{State: StateSuspected}, told: true},
		"login required": {h: Health{State: StateLoginRequired}, ended: true},
		"logged out":     {h: Health{State: StateLoggedOut}, ended: true},
	} {
		if tt.h.Ended() != tt.ended || tt.h.Told() != tt.told || tt.h.Hopeless() != tt.hopeless {
			t.Errorf("%s: ended %t, told %t, hopeless %t; want %+v", name, tt.h.Ended(), tt.h.Told(), tt.h.Hopeless(), tt)
		}
		if tt.h.vain = name == "valid"; tt.h.Vain() != tt.h.vain {
			t.Errorf("%s: vain %t", name, tt.h.Vain())
		}
	}
}

// A suspicion names what the refusal itself knew, if it did.
func TestTheCauseOfASuspicion(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		more bool
	}{
		"another error":   {errors.New("x"), false},
		"without a cause": {&oauth.Error{Op: "refresh", Status: 400}, false},
		"undecided":       {undecided(&oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Status: 400}), false},
		"an old token":    {&oauth.Error{Op: "refresh", Status: 500, Err: oauth.ErrTokenExpired}, true},
	} {
		got := suspicionOf(tt.err)
		if !errors.Is(got, errSuspected) || errors.Is(got, oauth.ErrTokenExpired) != tt.more || tt.more == (got == errSuspected) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if err := undecided(&oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Status: 400, Err: oauth.ErrTokenExpired}); !errors.Is(err, oauth.ErrTransient) ||
		!errors.Is(err, oauth.ErrTokenExpired) || errors.Is(err, errUndecided) {
		t.Errorf("a refusal with a cause: %v", err)
	}
	if err := undecided(&oauth.Error{Op: "refresh", Kind: oauth.ErrMisconfigured, Status: 400}); !errors.Is(err, oauth.ErrTransient) || !errors.Is(err, errUndecided) {
		t.Errorf("a refusal without one: %v", err)
	}
}

func TestPairsThatProgramsHandIn(t *testing.T) {
	extra := func(raw string) map[string]json.RawMessage {
		return map[string]json.RawMessage{"x": json.RawMessage(raw)}
	}
	for name, tt := range map[string]struct {
		pair oauth.TokenPair
		want error
	}{
		"both tokens":            {oauth.TokenPair{AccessToken: "a", RefreshToken: "r", Extra: extra(`{}`)}, nil},
		"an access token":        {oauth.TokenPair{AccessToken: "a"}, nil},
		"a refresh token":        {oauth.TokenPair{RefreshToken: "r"}, nil},
		"a line break":           {oauth.TokenPair{AccessToken: "a\n", RefreshToken: "r"}, errAccessToken},
		"a space":                {oauth.TokenPair{AccessToken: " a"}, errAccessToken},
		"another line break":     {oauth.TokenPair{AccessToken: "a", RefreshToken: "r\n"}, errRefreshToken},
		"a space at its end":     {oauth.TokenPair{AccessToken: "a", RefreshToken: "r "}, errRefreshToken},
		"what is not JSON":       {oauth.TokenPair{AccessToken: "a", RefreshToken: "r", Extra: extra(`{`)}, errExtra},
		"a control character":    {oauth.TokenPair{AccessToken: "a\x01b"}, errAccessToken},
		"nothing":                {oauth.TokenPair{}, nil},
		"what is not ASCII text": {oauth.TokenPair{AccessToken: "a", RefreshToken: "é"}, errRefreshToken},
	} {
		if err := checkPair(&tt.pair); !errors.Is(err, tt.want) || tt.want != nil && !errors.Is(err, oauth.ErrMisconfigured) || tt.want == nil && err != nil {
			t.Errorf("%s: %v; want %v", name, err, tt.want)
		}
	}
}

func TestPairsThatRefreshersReturn(t *testing.T) {
	old := &oauth.TokenPair{AccessToken: "a1", RefreshToken: "r1", Scope: "s"}
	next, err := answered(&oauth.TokenPair{AccessToken: "Bearer a2", Extra: map[string]json.RawMessage{"x": json.RawMessage(`{`), "y": json.RawMessage(`1`)}}, old)
	if err != nil || next.AccessToken != "a2" || next.RefreshToken != "r1" || next.Scope != "s" || len(next.Extra) != 1 {
		t.Errorf("a pair: %q and %q, %d more fields, %v", next.AccessToken, next.RefreshToken, len(next.Extra), err)
	}
	next, err = answered(&oauth.TokenPair{AccessToken: "", RefreshToken: "r2"}, old)
	if !errors.Is(err, errUncarried) || next.AccessToken != "a1" || next.RefreshToken != "r2" {
		t.Errorf("a pair without an access token: %q and %q, %v", next.AccessToken, next.RefreshToken, err)
	}
}

func TestWhenAPairEnds(t *testing.T) {
	now := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	const longest = int64(maxLife / time.Second)
	for name, tt := range map[string]struct {
		issued, ends, refreshEnds time.Time
		in                        int64
		want, wantRefresh         time.Time
	}{
		"nothing is known":          {},
		"an end":                    {ends: now.Add(time.Minute), in: 3600, want: now.Add(time.Minute)},
		"a life":                    {in: 3600, want: now.Add(time.Hour)},
		"a life from an issue":      {issued: now.Add(-time.Minute), in: 3600, want: now.Add(59 * time.Minute)},
		"a life of nothing":         {in: 0},
		"less than nothing":         {in: -1},
		"the longest life":          {in: longest, want: now.Add(maxLife)},
		"more":                      {in: longest + 1},
		"the latest end":            {ends: now.Add(maxLife), want: now.Add(maxLife)},
		"later":                     {ends: now.Add(maxLife + 1)},
		"later, and a life":         {ends: now.Add(maxLife + 1), in: 3600},
		"an end of a refresh token": {refreshEnds: now.Add(time.Hour), wantRefresh: now.Add(time.Hour)},
		"one that cannot be meant":  {refreshEnds: now.Add(maxLife + 1)},
	} {
		got := settle(&oauth.TokenPair{IssuedAt: tt.issued, ExpiresAt: tt.ends, RefreshExpiresAt: tt.refreshEnds, ExpiresIn: tt.in}, now)
		if !got.ExpiresAt.Equal(tt.want) || !got.RefreshExpiresAt.Equal(tt.wantRefresh) || !got.IssuedAt.Equal(tt.issued) {
			t.Errorf("%s: issued %v, ends %v, refresh token %v; want %v, %v", name, got.IssuedAt, got.ExpiresAt, got.RefreshExpiresAt, tt.want, tt.wantRefresh)
		}
	}
	read := time.Now().Add(time.Hour)
	if got := settle(&oauth.TokenPair{ExpiresAt: read}, time.Now()).ExpiresAt; got.String() != read.Round(0).String() {
		t.Errorf("a time with a monotonic reading stays %v", got)
	}
}

func TestWhatCannotStart(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		problem := errors.New("x")
		for name, tt := range map[string]struct {
			edit   func(c *Config)
			tokens *oauth.TokenPair
			named  string
			want   error // nil: it starts
		}{
			"a pair":                  {func(*Config) {}, pair("1"), "alice", nil},
			"a saved session":         {func(*Config) {}, nil, "alice", nil},
			"a problem":               {func(c *Config) { c.Problem = problem }, nil, "alice", problem},
			"no Refresher":            {func(c *Config) { c.Refresh = nil }, nil, "alice", oauth.ErrMisconfigured},
			"a follower":              {func(c *Config) { c.Follower, c.Refresh = true, nil }, nil, "alice", nil},
			"a follower and a pair":   {func(c *Config) { c.Follower = true }, pair("1"), "alice", ErrFollower},
			"a follower, and nothing": {func(c *Config) { c.Follower, c.Store = true, nil }, nil, "alice", oauth.ErrMisconfigured},
			"a pair that is no good":  {func(*Config) {}, &oauth.TokenPair{AccessToken: " a"}, "alice", errAccessToken},
			"no name":                 {func(*Config) {}, nil, "", oauth.ErrMisconfigured},
		} {
			d := newDesk(t)
			tt.edit(d.cfg)
			if err := d.cfg.CheckStart(tt.named, tt.tokens); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Errorf("%s: %v; want %v", name, err, tt.want)
			}
		}
	})
}

func TestWhichPairsCanBeRenewed(t *testing.T) {
	asks := func(grant string) bool { return grant == oauth.GrantTypeClientCredentials }
	for name, tt := range map[string]struct {
		c              Config
		pair           oauth.TokenPair
		renews, begins bool
	}{
		"a refresh token":                      {Config{RenewsGrant: asks}, oauth.TokenPair{RefreshToken: "r"}, true, true},
		"none":                                 {Config{RenewsGrant: asks}, oauth.TokenPair{}, false, true},
		"a grant that is asked for anew":       {Config{RenewsGrant: asks}, oauth.TokenPair{GrantType: oauth.GrantTypeClientCredentials}, true, true},
		"a grant that is not":                  {Config{RenewsGrant: asks}, oauth.TokenPair{GrantType: oauth.GrantTypeTokenExchange}, false, false},
		"another that is not":                  {Config{RenewsGrant: asks}, oauth.TokenPair{GrantType: oauth.GrantTypeJWTBearer}, false, false},
		"one by a Refresher that cannot":       {Config{RenewsGrant: func(string) bool { return false }}, oauth.TokenPair{GrantType: oauth.GrantTypeClientCredentials}, false, false},
		"a Refresher that needs none":          {Config{Tokenless: true}, oauth.TokenPair{GrantType: oauth.GrantTypeTokenExchange}, true, true},
		"a grant that another program renews":  {Config{RenewsGrant: asks, Follower: true}, oauth.TokenPair{GrantType: oauth.GrantTypeTokenExchange}, false, true},
		"a grant that is not to be renewed":    {Config{RenewsGrant: asks, Paused: true}, oauth.TokenPair{GrantType: oauth.GrantTypeTokenExchange}, false, true},
		"a grant, by a refresh token":          {Config{RenewsGrant: asks}, oauth.TokenPair{GrantType: oauth.GrantTypeTokenExchange, RefreshToken: "r"}, true, true},
		"a login by a code, without any token": {Config{RenewsGrant: asks}, oauth.TokenPair{GrantType: "authorization_code"}, false, true},
	} {
		if got := tt.c.renews(&tt.pair); got != tt.renews {
			t.Errorf("%s: renewed: %t; want %t", name, got, tt.renews)
		}
		if err := tt.c.checkRenewable(&tt.pair); (err == nil) != tt.begins {
			t.Errorf("%s: begins: %v; want %t", name, err, tt.begins)
		}
		if got := tt.c.timing(&tt.pair); got.Renewable != (tt.renews && !tt.c.Follower) || got.Elsewhere != (tt.c.Follower || tt.c.Paused) {
			t.Errorf("%s: timing %+v", name, got)
		}
	}
}

// A saved session is judged as one that begins with it fares.
func TestHowASavedSessionFares(t *testing.T) {
	now := moment.Of(time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC))
	const token = "r1"
	at := func(ago time.Duration) time.Time { return now.Wall().Add(-ago).UTC() }
	mark := func(edit func(m *tokenstore.Mark)) *tokenstore.Mark {
		m := &tokenstore.Mark{Token: tokenstore.Fingerprint(token), By: "config", At: at(time.Hour), Last: at(0), Count: severalTimes}
		edit(m)
		return m
	}
	same := func(*tokenstore.Mark) {}
	for name, tt := range map[string]struct {
		edit  func(rec *tokenstore.Record, c *Config)
		alive bool
		want  State
		says  string
	}{
		"a pair":         {func(*tokenstore.Record, *Config) {}, true, StateValid, ""},
		"a dead pair":    {func(*tokenstore.Record, *Config) {}, false, StateValid, ""},
		"no token":       {func(rec *tokenstore.Record, _ *Config) { rec.Tokens.RefreshToken = "" }, false, StateLoginRequired, "no refresh token"},
		"no token yet":   {func(rec *tokenstore.Record, _ *Config) { rec.Tokens.RefreshToken = "" }, true, StateValid, ""},
		"an end":         {func(rec *tokenstore.Record, _ *Config) { rec.Tokens.RefreshExpiresAt = at(0) }, false, StateLoginRequired, "has expired"},
		"an end to come": {func(rec *tokenstore.Record, _ *Config) { rec.Tokens.RefreshExpiresAt = at(-1) }, false, StateValid, ""},
		"an end, of what is asked for anew": {func(rec *tokenstore.Record, c *Config) { c.Tokenless, rec.Tokens.RefreshExpiresAt = true, at(0) },
			false, StateValid, ""},
		"ended": {func(rec *tokenstore.Record, _ *Config) {
			rec.Dead = mark(func(m *tokenstore.Mark) { m.Certain, m.Code = true, "invalid_grant" })
		}, true, StateLoginRequired, "(invalid_grant)"},
		"ended, and no token": {func(rec *tokenstore.Record, _ *Config) {
			rec.Dead = mark(func(m *tokenstore.Mark) { m.Certain = true })
			rec.Tokens.RefreshExpiresAt = at(0)
		}, false, StateLoginRequired, "the server has ended the session"},
		"ended, of what is asked for anew": {func(rec *tokenstore.Record, c *Config) {
			c.Tokenless, rec.Dead = true, mark(func(m *tokenstore.Mark) { m.Certain = true })
		}, true, StateValid, ""},
		"ended, of another token": {func(rec *tokenstore.Record, _ *Config) {
			rec.Dead = mark(func(m *tokenstore.Mark) { m.Certain, m.Token = true, "x" })
		}, true, StateValid, ""},
		"unread": {func(rec *tokenstore.Record, _ *Config) {
			rec.Refused = mark(func(m *tokenstore.Mark) { m.Code = codeUnread })
		}, false, StateMisconfigured, oauth.ErrUnreadAnswer.Error()},
		"refused":               {func(rec *tokenstore.Record, _ *Config) { rec.Refused = mark(same) }, true, StateRetrying, "refuses the refresh token"},
		"refused, and dead":     {func(rec *tokenstore.Record, _ *Config) { rec.Refused = mark(same) }, false, StateSuspected, ErrSuspected.Error()},
		"refused, dead, seldom": {func(rec *tokenstore.Record, _ *Config) { rec.Refused = mark(func(m *tokenstore.Mark) { m.Count-- }) }, false, StateRetrying, ""},
		"refused, dead, shortly": {func(rec *tokenstore.Record, _ *Config) {
			rec.Refused = mark(func(m *tokenstore.Mark) { m.At = at(10 * time.Minute) })
		}, false, StateRetrying, ""},
		"refused, dead, longer": {func(rec *tokenstore.Record, _ *Config) {
			rec.Refused = mark(func(m *tokenstore.Mark) { m.At = at(10*time.Minute + 1) })
		}, false, StateSuspected, ""},
		"a client refused, dead": {func(rec *tokenstore.Record, _ *Config) {
			rec.RefreshedBy, rec.Refused = "config", mark(func(m *tokenstore.Mark) { m.Code = "invalid_client" })
		}, false, StateMisconfigured, "the server refuses the client (invalid_client)"},
		"a client refused, alive": {func(rec *tokenstore.Record, _ *Config) {
			rec.RefreshedBy, rec.Refused = "config", mark(func(m *tokenstore.Mark) { m.Code, m.At = "unauthorized_client", at(lonely*time.Minute+1) })
		}, true, StateMisconfigured, "(unauthorized_client)"},
		"a client refused, dead for an hour and more": {func(rec *tokenstore.Record, _ *Config) {
			rec.RefreshedBy, rec.Refused = "config", mark(func(m *tokenstore.Mark) { m.Code, m.At = "invalid_client", at(lonely*time.Minute+1) })
		}, false, StateSuspected, "(invalid_client)"},
		"a client refused that was never in order": {func(rec *tokenstore.Record, _ *Config) {
			rec.RefreshedBy, rec.Refused = "x", mark(func(m *tokenstore.Mark) { m.Code, m.At = "invalid_client", at(lonely*time.Minute+1) })
		}, false, StateMisconfigured, ""},
		"refused otherwise": {func(rec *tokenstore.Record, _ *Config) { rec.Refused = mark(func(m *tokenstore.Mark) { m.By = "x" }) }, false, StateValid, ""},
		"an earlier version's verdict": {func(rec *tokenstore.Record, _ *Config) {
			rec.RefreshedBy, rec.Dead = "config", mark(func(m *tokenstore.Mark) { m.Code = "invalid_request" })
		}, true, StateRetrying, "(invalid_request)"},
		"the same, of another configuration": {func(rec *tokenstore.Record, _ *Config) {
			rec.RefreshedBy, rec.Dead = "x", mark(func(m *tokenstore.Mark) { m.Code = "invalid_request" })
		}, true, StateValid, ""},
		"a wait":       {func(rec *tokenstore.Record, _ *Config) { rec.NotBefore, rec.AskedAt = at(-time.Minute), at(0) }, true, StateRetrying, "asked to wait"},
		"a wait, over": {func(rec *tokenstore.Record, _ *Config) { rec.NotBefore, rec.AskedAt = at(0), at(time.Minute) }, true, StateValid, ""},
		"begun":        {func(rec *tokenstore.Record, _ *Config) { rec.Pending = mark(same) }, false, StateRetrying, "was begun"},
		"begun elsewhere": {func(rec *tokenstore.Record, _ *Config) {
			rec.Pending = mark(func(m *tokenstore.Mark) { m.Token = "x" })
		}, false, StateValid, ""},
		"begun, for good": {func(rec *tokenstore.Record, c *Config) { c.Grace, rec.Pending = -1, mark(same) }, false, StateLoginRequired, errNotAgain.Error()},
		"begun, for good, and alive": {func(rec *tokenstore.Record, c *Config) { c.Grace, rec.Pending = -1, mark(same) }, true,
			StateRetrying, "was begun"},
		"begun, for good, lately": {func(rec *tokenstore.Record, c *Config) {
			c.Grace, rec.Pending = -1, mark(func(m *tokenstore.Mark) { m.At = at(2 * time.Minute) })
		}, false, StateRetrying, "was begun"},
		"begun, for good, by a clock that is ahead": {func(rec *tokenstore.Record, c *Config) {
			c.Grace, rec.Pending = -1, mark(func(m *tokenstore.Mark) { m.At = at(-2*time.Minute - 1) })
		}, false, StateLoginRequired, errNotAgain.Error()},
	} {
		c := &Config{ConfigID: "config", CheckInterval: time.Minute, RefreshThreshold: time.Minute, RenewsGrant: func(string) bool { return false }}
		rec := &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a1", RefreshToken: token, ExpiresAt: at(time.Second)}, RefreshedAt: at(time.Hour)}
		if tt.alive {
			rec.Tokens.ExpiresAt = at(-time.Hour)
		}
		tt.edit(rec, c)
		cur, h := c.Judge("", rec, now)
		said := ""
		if h.Err != nil {
			said = h.Err.Error()
		}
		if h.State != tt.want || !strings.Contains(said, tt.says) || (h.Err == nil) != (tt.want == StateValid) {
			t.Errorf("%s: %s, %v; want %s, with %q", name, h.State, h.Err, tt.want, tt.says)
		}
		if cur == nil || cur.Alive(now) != tt.alive || !h.Renewed.Equal(rec.RefreshedAt) {
			t.Errorf("%s: alive and renewed are not as saved: %v, %v", name, cur, h.Renewed)
		}
		if name == "a wait" && h.Next.Since(now) != time.Minute {
			t.Errorf("%s: the next attempt is in %v; want a minute", name, h.Next.Since(now))
		}
	}
	for _, rec := range []*tokenstore.Record{nil, {}} {
		if cur, h := new(Config).Judge("", rec, now); cur != nil || h != &NoSession {
			t.Errorf("no session: %v, %v", cur, h)
		}
	}
}

// A session goes to rest if all that there is to know of it outlives that.
func TestWhatKeepsASessionFromGoingToRest(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		mark := &tokenstore.Mark{Token: "t"}
		for name, tt := range map[string]struct {
			edit func(d *desk)
			want bool
		}{
			"nothing":                    {func(*desk) {}, true},
			"a failure":                  {func(d *desk) { d.setHealth(func(h *Health) { h.Failures = 1 }) }, false},
			"a renewal is not a reason":  {func(d *desk) { d.setHealth(func(h *Health) { h.Renewed = time.Now() }) }, true},
			"no token":                   {func(d *desk) { d.cur.Store(nil) }, false},
			"no record":                  {func(d *desk) { d.rec = nil }, false},
			"a spend":                    {func(d *desk) { d.rec.Pending = mark }, false},
			"a refusal":                  {func(d *desk) { d.rec.Refused = mark }, false},
			"a verdict":                  {func(d *desk) { d.rec.Dead = mark }, false},
			"a rejected ID token":        {func(d *desk) { d.rec.Tokens.IDTokenError = errors.New("x") }, false},
			"an unsaved pair":            {func(d *desk) { d.unsaved.store = true }, false},
			"a kept lock":                {func(d *desk) { d.kept = noLease{} }, false},
			"an unchecked word":          {func(d *desk) { d.unchecked.err = ended }, false},
			"no account":                 {func(d *desk) { d.account = nil }, false},
			"another account":            {func(d *desk) { d.account = pair("x") }, false},
			"distrust":                   {func(d *desk) { d.Distrust() }, false},
			"a resource":                 {func(d *desk) { d.Cell("https://api.example") }, false},
			"a dead token":               {func(*desk) { time.Sleep(time.Hour) }, false},
			"a dead token, paused":       {func(d *desk) { time.Sleep(time.Hour); d.cfg.Paused = true }, true},
			"a dead token, on demand":    {func(d *desk) { time.Sleep(time.Hour); d.cfg.OnDemand = true }, true},
			"a token that is due":        {func(*desk) { time.Sleep(58 * time.Minute) }, false},
			"one that is due, and later": {func(d *desk) { time.Sleep(58 * time.Minute); d.deferred = d.now().Add(time.Second) }, true},
		} {
			d := newDesk(t)
			d.fresh(pair("1"))
			tt.edit(d)
			if got := d.Quiet(); got != tt.want {
				t.Errorf("%s: it may rest: %t; want %t", name, got, tt.want)
			}
		}
	})
}

// A session at rest tells when it wants attention, and wakes up as it was.
func TestASessionThatRestsWakesUpAsItWas(t *testing.T) {
	inBubble(t, "", func(t *testing.T) {
		for name, tt := range map[string]struct {
			edit  func(d *desk)
			after time.Duration // of attention; less than nothing: never
		}{
			"a token":           {func(*desk) {}, 55 * time.Minute},
			"paused":            {func(d *desk) { d.cfg.Paused = true }, -1},
			"on demand":         {func(d *desk) { d.cfg.OnDemand = true }, -1},
			"due, and later":    {func(d *desk) { time.Sleep(58 * time.Minute); d.deferred, d.reserved = d.now().Add(time.Second), true }, time.Second},
			"put off, not due":  {func(d *desk) { d.deferred = d.now().Add(time.Second) }, 55 * time.Minute},
			"an end to be told": {func(d *desk) { d.fresh(ending(40 * time.Hour)) }, 55 * time.Minute},
			"an end beyond all plans": {func(d *desk) {
				p := pair("1")
				p.ExpiresAt = p.IssuedAt.AddDate(150, 0, 0)
				d.fresh(p)
			}, -1},
			"the same, paused": {func(d *desk) { d.cfg.Paused = true; d.fresh(ending(40 * time.Hour)) }, 30 * time.Hour},
			"an end that is told": {func(d *desk) {
				d.cfg.Paused = true
				d.fresh(ending(40 * time.Hour))
				d.notified = d.rec.Tokens.RefreshExpiresAt
			}, -1},
		} {
			d := newDesk(t)
			d.fresh(pair("1"))
			tt.edit(d)
			d.reported, d.stamp = "grant", Stamp{7, true}
			rest, outlook := d.Rest()
			if got := outlook.Due.Since(d.now()); tt.after < 0 && outlook.Due != moment.Never || tt.after >= 0 && (got > tt.after || got < tt.after-tt.after/10) {
				t.Errorf("%s: it wants attention in %v; want %v", name, got, tt.after)
			}
			if outlook.Stamp != d.stamp {
				t.Errorf("%s: the stamp is %v", name, outlook.Stamp)
			}
			woken, shown := Wake(d.cfg, session, d, new(snapshot.Cell), rest, outlook.Stamp)
			if woken.rec != d.rec || woken.generation != d.generation || woken.stamp != d.stamp || woken.reported != d.reported ||
				woken.deferred != d.deferred || woken.reserved != d.reserved || woken.Health().State != StateValid ||
				woken.announced(d.cur.Load()) != d.announced(d.cur.Load()) || woken.account != d.rec.Tokens {
				t.Errorf("%s: it wakes up as another one", name)
			}
			if shown.Ends() != d.cur.Load().Ends() || shown.Pair.AccessToken != "a1" {
				t.Errorf("%s: it shows %v", name, shown)
			}
		}
	})
}

// fresh gives the session a pair that is not due.
func (d *desk) fresh(p *oauth.TokenPair) {
	d.rec = &tokenstore.Record{Tokens: p, Version: 1}
	d.account = p
	d.publish(p)
}

// ending is a pair whose refresh token ends after a while.
func ending(while time.Duration) *oauth.TokenPair {
	p := pair("1")
	p.RefreshExpiresAt = p.IssuedAt.Add(while)
	return p
}
