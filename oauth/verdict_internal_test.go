package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// What another Refresher makes is judged by its fields alone.
func TestVerdictGoesByAnErrorsFields(t *testing.T) {
	for name, tt := range map[string]struct {
		fail Error
		want Verdict
	}{
		"nothing sent":                    {Error{Kind: ErrTransient}, VerdictTrouble},
		"no answer":                       {Error{Kind: ErrTransient, Sent: true}, VerdictUnknown},
		"a login":                         {Error{Kind: ErrLoginRequired}, VerdictEnded},
		"a login, whatever the rest says": {Error{Kind: ErrLoginRequired, Sent: true, Status: 503, Code: "invalid_client"}, VerdictEnded},
		"the client, by its code":         {Error{Kind: ErrMisconfigured, Sent: true, Status: 401, Code: "invalid_client"}, VerdictClient},
		"the client, by its cause":        {Error{Kind: ErrMisconfigured, Sent: true, Status: 401, Err: ErrClientRefused}, VerdictClient},
		"the client's secret":             {Error{Kind: ErrMisconfigured, Sent: true, Status: 401, Err: ErrClientSecretExpired}, VerdictClient},
		"a code about the client that its maker calls transient": {Error{Kind: ErrTransient, Sent: true, Status: 401, Code: "invalid_client"}, VerdictUnclear},
		"a mistake here":            {Error{Kind: ErrMisconfigured}, VerdictSettings},
		"a redirect":                {Error{Kind: ErrMisconfigured, Sent: true, Status: 302}, VerdictSettings},
		"a mistake in the request":  {Error{Kind: ErrMisconfigured, Sent: true, Status: 400, Code: "invalid_request"}, VerdictUnclear},
		"tokens elsewhere":          {Error{Kind: ErrMisconfigured, Sent: true, Status: 200, Err: fmt.Errorf("x: %w", ErrUnreadAnswer)}, VerdictUnread},
		"no token":                  {Error{Kind: ErrTransient, Sent: true, Status: 200, Err: ErrNoToken}, VerdictUnclear},
		"a success without a word":  {Error{Kind: ErrTransient, Sent: true, Status: 200}, VerdictUnknown},
		"a refusal":                 {Error{Kind: ErrTransient, Sent: true, Status: 404}, VerdictUnclear},
		"a page":                    {Error{Kind: ErrTransient, Sent: true, Status: 404, Page: true}, VerdictTrouble},
		"a code that names trouble": {Error{Kind: ErrTransient, Sent: true, Status: 400, Code: "slow_down"}, VerdictTrouble},
		"an outage":                 {Error{Kind: ErrTransient, Sent: true, Status: 500}, VerdictTrouble},
	} {
		tt.fail.Op = opRefresh
		if got := tt.fail.Verdict(); got != tt.want || tt.fail.Unknown() != (got == VerdictUnknown) || errors.Is(&tt.fail, ErrClientRefused) != (got == VerdictClient) {
			t.Errorf("%s: %v; want %v", name, got, tt.want)
		}
	}
}

// A preset's words are about refreshes. At a login they mean what they always mean.
func TestEndCodesAreHeardAtARefreshAlone(t *testing.T) {
	for op, want := range map[string]error{opRefresh: ErrLoginRequired, opExchange: ErrTransient} {
		a := answered(op, http.StatusBadRequest, oauthError("Session-Over"))
		a.Settings.EndCodes = []string{"session_over"}
		if _, fail := judge(a); fail.Kind != want {
			t.Errorf("%s: %v; want %v", op, fail, want)
		}
	}
}

// A word that is too long to be one is not repeated, though it looks like one.
func TestLongWordsAreNotRepeated(t *testing.T) {
	for length, repeated := range map[int]bool{40: true, 41: false} {
		word := strings.Repeat("a", length)
		if _, fail := judge(answered(opRefresh, http.StatusBadRequest, oauthError(word))); (fail.Code == word) != repeated {
			t.Errorf("%d letters: code %q; repeated should be %v", length, fail.Code, repeated)
		}
	}
}
