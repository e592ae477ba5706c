package oauth_test

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// pastes makes a ReadRedirect that gives the texts sent to it.
func pastes() (chan<- string, func(*oauth.Config)) {
	texts := make(chan string)
	return texts, func(cfg *oauth.Config) {
		cfg.ReadRedirect = func(ctx context.Context) (string, error) {
			select {
			case text := <-texts:
				return text, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	}
}

// paste has the person paste a text.
func (a *attempt) paste(texts chan<- string, text string) {
	a.t.Helper()
	select {
	case texts <- text:
	case <-a.done:
		a.t.Fatalf("the login ended before %q was asked for: %v", text, a.err)
	}
}

func TestF58_PastedAddressLogsIn(t *testing.T) {
	s := server(t, oauthtest.Config{})
	texts, reading := pastes()
	a := authenticate(t, s, reading)
	query := newPerson(s, nil).callback(t, a.url) // the browser cannot reach us
	for _, wrong := range []string{"", "what?", "code=x&state=" + secret, a.callback + "?state=" + a.state} {
		a.paste(texts, wrong)
	}
	a.paste(texts, "  "+a.callback+"?"+query.Encode()+"\n")
	if _, err := a.end(); err != nil {
		t.Fatal(err)
	}
	text := a.out.String()
	if n := strings.Count(text, "That does not work"); n != 4 || !strings.Contains(text, "paste") || leaks(text) {
		t.Errorf("%d of 4 wrong pastes were told:\n%s", n, text)
	}
	wantNoMistakes(t, s)
}

func TestPastedRefusalEndsTheLogin(t *testing.T) {
	s := server(t, oauthtest.Config{})
	texts, reading := pastes()
	a := authenticate(t, s, reading)
	a.paste(texts, "error=access_denied&state="+a.state+"&iss="+url.QueryEscape(s.Issuer()))
	if _, err := a.end(); !errors.Is(err, oauth.ErrAccessDenied) {
		t.Errorf("got %v; want ErrAccessDenied", err)
	}
}

func TestLoginGoesOnWhenNothingCanBePasted(t *testing.T) {
	for name, read := range map[string]func(context.Context) (string, error){
		"end of input":        func(context.Context) (string, error) { return "", io.EOF },
		"nonsense for ever":   func(context.Context) (string, error) { return "nonsense", nil },
		"deaf to its context": func(context.Context) (string, error) { <-t.Context().Done(); return "", nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, oauthtest.Config{})
			a := authenticate(t, s, func(cfg *oauth.Config) { cfg.ReadRedirect = read })
			a.logIn(newPerson(s, nil))
			if _, err := a.end(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBrowserThatDoesNotOpenIsNotTheEnd(t *testing.T) {
	s := server(t, oauthtest.Config{})
	a := authenticate(t, s, func(cfg *oauth.Config) {
		open := cfg.OpenBrowser
		cfg.OpenBrowser = func(ctx context.Context, address string) error {
			_ = open(ctx, address)
			return errors.New("there is no display")
		}
	})
	a.logIn(newPerson(s, nil))
	if _, err := a.end(); err != nil {
		t.Error(err)
	}
}

func TestFailureToOpenTheBrowserIsSaid(t *testing.T) {
	s := server(t, oauthtest.Config{})
	said := make(chan struct{})
	out := &watchedScreen{want: "there is no display", seen: said}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := s.OAuthConfig()
	cfg.Output = out
	cfg.OpenBrowser = func(context.Context, string) error { return errors.New("there is no display") }
	done := make(chan error)
	go func() {
		_, err := oauth.NewClient(cfg).Authenticate(ctx)
		done <- err
	}()
	<-said
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want the end of the context, not of the browser", err)
	}
}

// A watchedScreen closes seen once it shows want.
type watchedScreen struct {
	screen
	want string
	seen chan struct{}
	once atomic.Bool
}

func (s *watchedScreen) Write(p []byte) (int, error) {
	n, err := s.screen.Write(p)
	if strings.Contains(s.String(), s.want) && s.once.CompareAndSwap(false, true) {
		close(s.seen)
	}
	return n, err
}
