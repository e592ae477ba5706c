package failure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth"
)

const planted = "PLANTED"

func TestOnlyWhatIsVouchedForIsShown(t *testing.T) {
	retrieve := &oauth2.RetrieveError{Response: &http.Response{StatusCode: 400, Status: "400 " + planted}, Body: []byte(planted), ErrorCode: planted, ErrorDescription: planted, ErrorURI: planted}
	ours := &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Code: "slow_down", Status: 400}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"x/oauth2":                  {retrieve, "refresh: X failed (*oauth2.RetrieveError)"},
		"x/oauth2, wrapped":         {fmt.Errorf("%s: %w", planted, retrieve), "refresh: X failed (*oauth2.RetrieveError)"},
		"text":                      {errors.New(planted), "refresh: X failed (*errors.errorString)"},
		"URL":                       {&url.Error{Op: "Post", URL: "https://a.test/?token=" + planted, Err: syscall.ECONNREFUSED}, "refresh: X failed: connection refused"},
		"deadline":                  {fmt.Errorf("%s: %w", planted, context.DeadlineExceeded), "refresh: X failed: no answer in time"},
		"canceled":                  {fmt.Errorf("%s: %w", planted, context.Canceled), "refresh: X failed: canceled"},
		"kind":                      {fmt.Errorf("%s: %w", planted, oauth.ErrLoginRequired), "refresh: X failed: " + oauth.ErrLoginRequired.Error() + " (*errors.errorString)"},
		"ours":                      {ours, ours.Error()},
		"ours, wrapped":             {fmt.Errorf("%s: %w", planted, ours), ours.Error()},
		"ours, joined":              {errors.Join(errors.New(planted), ours), ours.Error()},
		"ours around x/oauth2":      {&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Err: retrieve}, "oauth: refresh: " + oauth.ErrTransient.Error() + ": HTTP 400 (*oauth2.RetrieveError)"},
		"ours around a URL":         {&oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Err: &url.Error{Op: "Post", URL: planted, Err: io.ErrUnexpectedEOF}}, "oauth: refresh: " + oauth.ErrTransient.Error() + ": the connection ended without an answer: unexpected EOF"},
		"panic":                     {&PanicError{Where: "X", Type: "string"}, "refresh: panic in X (string)"},
		"text of an error's method": {shouting{}, "refresh: X failed (failure.shouting)"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Told("X", tt.err)
			if got.Error() != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
			if !errors.Is(got, tt.err) {
				t.Error("errors.Is does not find the error itself")
			}
			if again := Told("Y", got); again.Error() != tt.want {
				t.Errorf("told twice: %q; want %q", again, tt.want)
			}
			var log strings.Builder
			slog.New(slog.NewTextHandler(&log, nil)).Info("x", "error", got)
			slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "error", got)
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
				fmt.Fprintf(&log, verb, got)
			}
			if strings.Contains(log.String(), planted) || strings.Contains(log.String(), fmt.Sprintf("%x", planted)) {
				t.Errorf("printed: %s", &log)
			}
		})
	}
	if Told("X", nil) != nil {
		t.Error("no error became one")
	}
}

// shouting has all the methods by which packages find out what to print.
type shouting struct{}

func (shouting) Error() string                 { return planted }
func (shouting) String() string                { return planted }
func (shouting) LogValue() slog.Value          { return slog.StringValue(planted) }
func (shouting) MarshalJSON() ([]byte, error)  { return []byte(`"` + planted + `"`), nil }
func (shouting) MarshalText() ([]byte, error)  { return []byte(planted), nil }
func (shouting) Format(w fmt.State, verb rune) { _, _ = io.WriteString(w, planted) }
func (shouting) GoString() string              { return planted }
