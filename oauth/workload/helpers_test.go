package workload_test

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

// aToken looks like a platform's token, and secret is in whatever must not be shown.
const (
	aToken = "e30.e30.c2VjcmV0"
	secret = "s3cr3t"
)

// asCommand makes the test program the command that a test runs.
const asCommand = "EVERTOKEN_TEST_COMMAND"

func TestMain(m *testing.M) {
	switch os.Getenv(asCommand) {
	case "token":
		fmt.Println(" " + aToken)
	case "its audience":
		fmt.Print(os.Args[len(os.Args)-1])
	case "nothing":
		fmt.Println()
	case "something else":
		fmt.Println("password " + secret)
	case "too much":
		fmt.Print(aToken + strings.Repeat("x", 100<<10))
	case "failure":
		fmt.Println(aToken)
		fmt.Fprintln(os.Stderr, "\x1b[31m"+secret)
		os.Exit(3)
	case "hang":
		c := make(chan os.Signal, 1)
		signal.Notify(c)
		<-c
	default:
		os.Exit(m.Run())
	}
}

// wantFailure checks an error of a source: its kind, what it says, and that it is none of the
// authorization server's, whatever the platform has said.
func wantFailure(t *testing.T, when string, err, want error, says string) {
	t.Helper()
	var fail *oauth.Error
	if !errors.As(err, &fail) {
		t.Errorf("%s: %v; want an *oauth.Error", when, err)
		return
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), says) || fail.Op != "workload_token" {
		t.Errorf("%s: %v; want %v that says %q", when, err, want, says)
	}
	verdict := oauth.VerdictTrouble
	if errors.Is(want, oauth.ErrMisconfigured) {
		verdict = oauth.VerdictSettings
	}
	if errors.Is(err, oauth.ErrLoginRequired) || errors.Is(err, oauth.ErrClientRefused) || fail.Code != "" || fail.Sent || fail.Verdict() != verdict {
		t.Errorf("%s: %v is about the authorization server: code %q, sent %t, verdict %v", when, err, fail.Code, fail.Sent, fail.Verdict())
	}
	for _, hidden := range []string{secret, aToken, "\x1b", "api-version"} {
		if strings.Contains(fmt.Sprintf("%v %+v", err, err), hidden) {
			t.Errorf("%s: the error shows %q: %v", when, hidden, err)
		}
	}
}
