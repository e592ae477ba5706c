package oauth

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPageEscapesWhatItShows(t *testing.T) {
	w := httptest.NewRecorder()
	outcomePage(errors.New(`<script>alert("x")</script>&`)).write(w)
	if body := w.Body.String(); strings.Contains(body, "<script") || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("the page shows %s", body)
	}
}

func TestPageOfARefusalHasNoDetail(t *testing.T) {
	for err, want := range map[*Error]bool{
		{Op: opAuthorize, Kind: ErrLoginRequired, Code: "access_denied"}: false,
		{Op: opAuthorize, Kind: ErrTransient, Code: "server_error"}:      true,
	} {
		w := httptest.NewRecorder()
		outcomePage(err).write(w)
		if got := strings.Contains(w.Body.String(), err.Code); got != want {
			t.Errorf("the page for %v shows the error: %v, want %v", err, got, want)
		}
	}
}

func TestPageTellsSuccessFromFailure(t *testing.T) {
	for err, want := range map[error]struct {
		status int
		title  string
	}{
		nil:                        {200, "You are logged in"},
		ErrAccessDenied:            {403, "Login refused"},
		errors.New("any"):          {502, "Login failed"},
		&Error{Kind: ErrTransient}: {502, "Login failed"},
	} {
		w := httptest.NewRecorder()
		outcomePage(err).write(w)
		if w.Code != want.status || !strings.Contains(w.Body.String(), "<title>"+want.title+"</title>") {
			t.Errorf("%v: HTTP %d: %s", err, w.Code, w.Body)
		}
	}
}
