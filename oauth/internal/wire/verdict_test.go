package wire

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// answer is an answer of a kind to an operation.
func answer(op string, status int, body string) *Answer {
	return &Answer{Op: op, Status: status, Header: http.Header{}, Body: []byte(body), Whole: true, Received: time.Now()}
}

// What a failure says about a session goes by its fields, whoever has made it.
func TestVerdictsOfFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		f    Failure
		want Verdict
	}{
		"a dead grant":                          {Failure{Kind: ErrLoginRequired, Status: 400, Sent: true}, VerdictEnded},
		"tokens that were not read":             {Failure{Kind: ErrMisconfigured, Err: ErrUnreadAnswer, Status: 200, Sent: true}, VerdictUnread},
		"a refused client":                      {Failure{Kind: ErrMisconfigured, Code: "invalid_client", Status: 401, Sent: true}, VerdictClient},
		"a refused client, without a word":      {Failure{Kind: ErrMisconfigured, Err: ErrClientRefused, Status: 401, Sent: true}, VerdictClient},
		"an expired secret":                     {Failure{Kind: ErrMisconfigured, Err: ErrClientSecretExpired, Status: 401, Sent: true}, VerdictClient},
		"a word about the client, as trouble":   {Failure{Kind: ErrTransient, Err: ErrClientRefused, Status: 401, Sent: true}, VerdictUnclear},
		"a redirect":                            {Failure{Kind: ErrMisconfigured, Status: 399, Sent: true}, VerdictSettings},
		"a request that cannot be made":         {Failure{Kind: ErrMisconfigured, Status: 400}, VerdictSettings},
		"a word about the request":              {Failure{Kind: ErrMisconfigured, Code: "invalid_request", Status: 400, Sent: true}, VerdictUnclear},
		"a word about a setting":                {Failure{Kind: ErrMisconfigured, Code: CodeDPoPProof, Status: 400, Sent: true}, VerdictSettings},
		"what did not arrive":                   {Failure{Kind: ErrTransient}, VerdictTrouble},
		"trouble in words":                      {Failure{Kind: ErrTransient, Err: ErrTrouble, Status: 400, Sent: true}, VerdictTrouble},
		"a word of trouble":                     {Failure{Kind: ErrTransient, Code: "slow_down", Status: 400, Sent: true}, VerdictTrouble},
		"no answer":                             {Failure{Kind: ErrTransient, Sent: true}, VerdictUnknown},
		"a success that was cut":                {Failure{Kind: ErrTransient, Status: 200, Sent: true}, VerdictUnknown},
		"a page with a success":                 {Failure{Kind: ErrTransient, Status: 200, Sent: true, Page: true}, VerdictUnknown},
		"a success without tokens":              {Failure{Kind: ErrTransient, Status: 200, Sent: true, Err: ErrNoToken}, VerdictUnclear},
		"a success with an unknown word":        {Failure{Kind: ErrTransient, Status: 200, Sent: true, Code: "odd"}, VerdictUnclear},
		"a page with a success and a word":      {Failure{Kind: ErrTransient, Status: 200, Sent: true, Code: "odd", Page: true}, VerdictTrouble},
		"a refusal":                             {Failure{Kind: ErrTransient, Status: 400, Sent: true}, VerdictUnclear},
		"a refusal by a page":                   {Failure{Kind: ErrTransient, Status: 403, Sent: true, Page: true}, VerdictTrouble},
		"a bad moment":                          {Failure{Kind: ErrTransient, Status: 429, Sent: true}, VerdictTrouble},
		"a bad moment, about the token":         {Failure{Kind: ErrTransient, Status: 429, Sent: true, Err: ErrTokenInvalid}, VerdictTrouble},
		"the server's trouble":                  {Failure{Kind: ErrTransient, Status: 500, Sent: true}, VerdictTrouble},
		"the server's trouble, about the token": {Failure{Kind: ErrTransient, Status: 500, Sent: true, Err: ErrTokenInvalid}, VerdictUnclear},
		"the same, of a token that has expired": {Failure{Kind: ErrTransient, Status: 503, Sent: true, Err: ErrTokenExpired}, VerdictUnclear},
		"the same, of one that was reused":      {Failure{Kind: ErrTransient, Status: 503, Sent: true, Err: ErrTokenReused}, VerdictUnclear},
		"the same, of a person":                 {Failure{Kind: ErrTransient, Status: 503, Sent: true, Err: ErrUserNotFound}, VerdictUnclear},
	} {
		tt.f.Op = OpRefresh
		if got := tt.f.Verdict(); got != tt.want {
			t.Errorf("%s: verdict %d; want %d", name, got, tt.want)
		}
	}
}

// What is said of statuses at their bounds, and what a person is to do.
func TestFailuresByStatus(t *testing.T) {
	for status, want := range map[int]struct {
		kind, err error
		hint      bool
	}{
		299: {ErrTransient, ErrNotUsable, false},
		300: {ErrMisconfigured, ErrRedirect, true},
		399: {ErrMisconfigured, ErrRedirect, true},
		400: {ErrTransient, nil, false},
		500: {ErrTransient, nil, false},
	} {
		a := answer(OpRefresh, status, `{}`)
		fail := a.Failure(a.Fields())
		if fail.Kind != want.kind || fail.Err != want.err || (fail.Hint != "") != want.hint {
			t.Errorf("%d: %v, %v, hint %q; want %+v", status, fail.Kind, fail.Err, fail.Hint, want)
		}
	}
}

// A refused client has the field of the configuration that says how it authenticates, however
// the server has refused it; a client that may not use a grant has none.
func TestFieldsOfARefusedClient(t *testing.T) {
	for name, tt := range map[string]struct {
		body, field string
		basic       bool
		kind, err   error
		hint        string
	}{
		"a word":        {`{"error":"invalid_client"}`, "ClientAuth", false, ErrMisconfigured, nil, "the registration"},
		"a challenge":   {`{}`, "ClientAuth", true, ErrMisconfigured, ErrClientRefused, "the registration"},
		"a number":      {`{"error":"odd","error_codes":[7000215]}`, "ClientAuth", false, ErrMisconfigured, ErrClientRefused, "the registration"},
		"no number":     {`{"error":"odd","error_codes":"7000215"}`, "", false, ErrTransient, nil, ""},
		"another grant": {`{"error":"unauthorized_client"}`, "", false, ErrMisconfigured, nil, hintGrant},
	} {
		a := answer(OpRefresh, http.StatusUnauthorized, tt.body)
		a.Settings.ClientHint = "the registration"
		if tt.basic {
			a.Settings.Basic = true
			a.Header.Set("WWW-Authenticate", `Basic realm="x"`)
		}
		if fail := a.Failure(a.Fields()); fail.Field != tt.field || fail.Kind != tt.kind || fail.Err != tt.err || fail.Hint != tt.hint {
			t.Errorf("%s: field %q, %v, %v, hint %q; want %+v", name, fail.Field, fail.Kind, fail.Err, fail.Hint, tt)
		}
	}
}

// Of a success without tokens it is said where they may be.
func TestWhatASuccessWithoutTokensLacks(t *testing.T) {
	for name, tt := range map[string]struct {
		op, body  string
		kind, err error
		field     string
		hint      string // a part of it
	}{
		"tokens elsewhere":     {OpRefresh, `{"data":{"access_token":"at-2"}}`, ErrMisconfigured, ErrUnreadAnswer, "TokenPath", "Config.TokenPath"},
		"other names":          {OpRefresh, `{"a":"b"}`, ErrMisconfigured, ErrUnreadAnswer, "TokenPath", "Config.TokenPath"},
		"no JSON, and a token": {OpRefresh, `access-token: at-2;`, ErrMisconfigured, ErrUnreadAnswer, "", "not JSON"},
		"a refusal":            {OpRefresh, `{"success":false}`, ErrTransient, ErrNoToken, "", ""},
		"nothing":              {OpRefresh, `{}`, ErrTransient, ErrNoToken, "", ""},
		"at a login":           {"exchange", `{"a":"b"}`, ErrMisconfigured, ErrNoToken, "", ""},
		"at a device login":    {OpDevice, `{"a":"b"}`, ErrTransient, ErrNoToken, "", ""},
		"an answer that ends":  {OpRefresh, ``, ErrTransient, ErrNotUsable, "", ""},
	} {
		a := answer(tt.op, 200, tt.body)
		fail := a.Failure(a.Fields())
		a.Miss(fail)
		if fail.Kind != tt.kind || !errors.Is(fail.Err, tt.err) || fail.Field != tt.field || !strings.Contains(fail.Hint, tt.hint) || tt.hint == "" && fail.Hint != "" {
			t.Errorf("%s: %v, %v, field %q, hint %q", name, fail.Kind, fail.Err, fail.Field, fail.Hint)
		}
	}
}

// Against a server that does not revoke, neither waiting nor a login helps.
func TestFailuresOfARevocation(t *testing.T) {
	for name, tt := range map[string]struct {
		status    int
		body      string
		retry     string
		kind, err error
	}{
		"no such endpoint":         {404, `{}`, "", ErrMisconfigured, ErrNotRevoked},
		"not implemented":          {501, `{}`, "", ErrMisconfigured, ErrNotRevoked},
		"a page":                   {403, `<html>`, "", ErrMisconfigured, ErrNotRevoked},
		"a refused client":         {401, `{"error":"invalid_client"}`, "", ErrMisconfigured, ErrNotRevoked},
		"an expired secret":        {401, `{"error":"invalid_client","x":"expired"}`, "", ErrMisconfigured, ErrClientSecretExpired},
		"a word about the grant":   {400, `{"error":"invalid_grant"}`, "", ErrMisconfigured, ErrNotRevoked},
		"trouble in words":         {400, `{"error":"slow_down"}`, "", ErrTransient, nil},
		"a wait":                   {400, `{}`, "5", ErrTransient, nil},
		"the grant, and a wait":    {400, `{"error":"invalid_grant"}`, "5", ErrTransient, nil},
		"the server's own trouble": {503, `{}`, "", ErrTransient, nil},
	} {
		a := answer("revoke", tt.status, tt.body)
		a.Header.Set("Retry-After", tt.retry)
		if name == "an expired secret" {
			a.Settings.SecretEnds = a.Received.Add(-time.Hour)
		}
		fail := a.RevocationFailure(a.Failure(a.Fields()))
		if fail.Kind != tt.kind || tt.err != nil && !errors.Is(fail.Err, tt.err) {
			t.Errorf("%s: %v, %v; want %v, %v", name, fail.Kind, fail.Err, tt.kind, tt.err)
		}
	}
}

// A body is text for people unless a program has written it, or it is cut.
func TestWhichBodiesAreTextForPeople(t *testing.T) {
	for body, want := range map[string]string{
		"rate exceeded": "rate exceeded", "  busy\n": "busy", "<p>busy": "", "{busy": "", "[busy": "", `"busy`: "", "": "",
		"notice {\"a\":1}": "", strings.Repeat("x", maxPhrase) + " busy": strings.Repeat("x", maxPhrase), "5 < 6": "5 < 6",
	} {
		a := answer(OpRefresh, 400, body)
		if got := a.text(); got != want {
			t.Errorf("%q: %q; want %q", body, got, want)
		}
		if a.Whole = false; a.text() != "" {
			t.Errorf("%q is text though it is cut", body)
		}
	}
}

// What is compressed is known by its first bytes, whatever a header says, and is read as far
// as it goes.
func TestCompressedBodies(t *testing.T) {
	compressed := func(n int) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(bytes.Repeat([]byte("x"), n)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	small := compressed(100)
	for name, tt := range map[string]struct {
		body  []byte
		whole bool // as it came
		size  int
		want  bool // whole in the end
	}{
		"plain":              {[]byte("plain"), true, 5, true},
		"small":              {small, true, 100, true},
		"small, and cut":     {small, false, 100, false},
		"its end is missing": {small[:len(small)-4], true, 100, false},
		"as large as it may": {compressed(maxBody), true, maxBody, true},
		"larger":             {compressed(maxBody + 1), true, maxBody + 1, false},
	} {
		a := answer(OpRefresh, 200, string(tt.body))
		a.Whole = tt.whole
		a.inflate()
		if len(a.Body) != tt.size || a.Whole != tt.want {
			t.Errorf("%s: %d bytes, whole %t; want %d, %t", name, len(a.Body), a.Whole, tt.size, tt.want)
		}
	}
}

func TestNamesThatCanBeShown(t *testing.T) {
	long := strings.Repeat("a", maxNameLength)
	for name, want := range map[string]bool{
		"azAZ": true, "0189": true, "09018": false, "a_b-c.d": true, "": false, "a b": false, "a{": false, "a`": false, "A@": false, "A[": false,
		"a/": false, "a:": false, "é": false, long: true, long + "a": false,
	} {
		if got := isPlainName(name); got != want {
			t.Errorf("%q is shown: %t; want %t", name, got, want)
		}
	}
	if !slices.Equal(memberNames(members(t, `{"b":1,"a":{"c":1}}`)), []string{"a", "a.c", "b"}) {
		t.Error("names are not in order")
	}
}
