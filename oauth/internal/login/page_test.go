package login

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

func TestPageEscapesWhatItShows(t *testing.T) {
	w := httptest.NewRecorder()
	outcomePage(errors.New(`<script>alert("x")</script>&`)).write(w)
	if body := w.Body.String(); strings.Contains(body, "<script") || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("the page shows %s", body)
	}
}

func TestPageOfARefusalHasNoDetail(t *testing.T) {
	for err, want := range map[*failure]bool{
		{"access_denied", wire.ErrAccessDenied}: false,
		{"server_error", wire.ErrTransient}:     true,
	} {
		w := httptest.NewRecorder()
		outcomePage(err).write(w)
		if got := strings.Contains(w.Body.String(), err.code); got != want {
			t.Errorf("the page for %v shows the error: %v, want %v", err, got, want)
		}
	}
}

func TestPageTellsSuccessFromFailure(t *testing.T) {
	for err, want := range map[error]struct {
		status int
		title  string
	}{
		nil:                              {200, "You are logged in"},
		wire.ErrAccessDenied:             {403, "Login refused"},
		errors.New("any"):                {502, "Login failed"},
		&failure{"x", wire.ErrTransient}: {502, "Login failed"},
	} {
		w := httptest.NewRecorder()
		outcomePage(err).write(w)
		if w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%v: the page is written with %v", err, w.Header())
		}
		if w.Code != want.status || !strings.Contains(w.Body.String(), "<title>"+want.title+"</title>") {
			t.Errorf("%v: HTTP %d: %s", err, w.Code, w.Body)
		}
	}
}

// A failure is an error with a code that is of some kind.
type failure struct {
	code string
	kind error
}

func (f *failure) Error() string { return "oauth: authorize: " + f.code }

func (f *failure) Unwrap() error { return f.kind }
