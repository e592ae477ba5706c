package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// begun begins a login whose process dies when the window is open, and returns what it has kept.
func begun(t *testing.T, cfg oauth.Config) *oauth.LoginRequest {
	t.Helper()
	// Nobody else is given the port before the next process has it.
	cfg.RedirectURL = "http://" + heldPort(t) + "/callback"
	ctx, die := context.WithCancel(t.Context())
	var kept []byte
	cfg.OpenBrowser = func(context.Context, string) error { die(); return nil }
	_, err := oauth.NewClient(cfg).AuthenticateKeeping(ctx, func(req *oauth.LoginRequest) (err error) {
		kept, err = json.Marshal(req)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	req := new(oauth.LoginRequest)
	if err := json.Unmarshal(kept, req); err != nil {
		t.Fatal(err)
	}
	return req
}

// visit is the person in a window.
func visit(ctx context.Context, s *oauthtest.Server, window string) {
	location, err := s.Allow(ctx, window, oauthtest.DefaultUser)
	if err != nil {
		return
	}
	if resp, err := http.Get(location); err == nil {
		resp.Body.Close()
	}
}

func TestAnotherProcessResumesALogin(t *testing.T) {
	for name, change := range map[string]func(*oauth.Config){
		"bearer": func(*oauth.Config) {},
		"DPoP":   func(cfg *oauth.Config) { cfg.DPoP = true },
		"pushed": func(cfg *oauth.Config) { cfg.RequirePushedAuth = true },
	} {
		t.Run(name, func(t *testing.T) {
			s := server(t, oauthtest.Config{})
			cfg := s.OAuthConfig()
			cfg.Output = new(screen)
			change(&cfg)
			req := begun(t, cfg)
			next := cfg
			next.OpenBrowser = func(ctx context.Context, _ string) error {
				go visit(ctx, s, req.URL) // in the window that the first process has opened
				return nil
			}
			pair, err := oauth.NewClient(next).ResumeLogin(t.Context(), req, nil)
			if err != nil || pair.RefreshToken == "" {
				t.Fatalf("%v, %v", pair, err)
			}
			if _, err := oauth.NewClient(next).Refresh(t.Context(), pair); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whatever else listens there now would get the code.
func TestALoginWhosePortIsTakenIsNotResumed(t *testing.T) {
	s := server(t, oauthtest.Config{})
	cfg := s.OAuthConfig()
	cfg.Output = new(screen)
	req := begun(t, cfg)
	u, err := url.Parse(req.RedirectURL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg.OpenBrowser = func(context.Context, string) error { t.Error("a window opened"); return nil }
	if _, err := oauth.NewClient(cfg).ResumeLogin(t.Context(), req, nil); !errors.Is(err, syscall.EADDRINUSE) || !errors.Is(err, oauth.ErrTransient) {
		t.Errorf("%v; want EADDRINUSE", err)
	}
}

func TestALoginThatCannotBeKeptIsNotShown(t *testing.T) {
	s := server(t, oauthtest.Config{})
	cfg := s.OAuthConfig()
	cfg.OpenBrowser = func(context.Context, string) error { t.Error("a window opened"); return nil }
	full := errors.New("the disk is full")
	if _, err := oauth.NewClient(cfg).AuthenticateKeeping(t.Context(), func(*oauth.LoginRequest) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

// The process dies after the person has logged in, with the code in its hands.
func TestALoginWhoseCodeWasNotRedeemedIsResumed(t *testing.T) {
	s := server(t, oauthtest.Config{})
	cfg := s.OAuthConfig()
	cfg.Output = new(screen)
	cfg.OpenBrowser = func(ctx context.Context, address string) error {
		go visit(ctx, s, address)
		return nil
	}
	ctx, die := context.WithCancel(t.Context())
	var kept []*oauth.LoginRequest
	_, err := oauth.NewClient(cfg).AuthenticateKeeping(ctx, func(req *oauth.LoginRequest) error {
		kept = append(kept, req)
		if req.Answer != nil {
			die()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || len(kept) != 2 || kept[0].Answer != nil {
		t.Fatalf("%v, and %d requests were kept; want the context's error and 2, of which the second has an answer", err, len(kept))
	}
	if text := kept[1].String(); strings.Contains(text, kept[1].Answer.Get("code")) {
		t.Errorf("the code stands in %s", text)
	}
	cfg.OpenBrowser = func(context.Context, string) error { t.Error("a window opened"); return nil }
	next := oauth.NewClient(cfg)
	if pair, err := next.ResumeLogin(t.Context(), kept[1], nil); err != nil || pair.RefreshToken == "" {
		t.Fatalf("%v, %v", pair, err)
	}
	if _, err := next.ResumeLogin(t.Context(), kept[1], nil); err == nil {
		t.Error("a code that was redeemed is good once more")
	}
}

// A disk that is full by then does not undo what the person has done.
func TestALoginWhoseAnswerCannotBeKeptGoesOn(t *testing.T) {
	s := server(t, oauthtest.Config{})
	cfg := s.OAuthConfig()
	cfg.Output = new(screen)
	cfg.OpenBrowser = func(ctx context.Context, address string) error {
		go visit(ctx, s, address)
		return nil
	}
	pair, err := oauth.NewClient(cfg).AuthenticateKeeping(t.Context(), func(req *oauth.LoginRequest) error {
		if req.Answer != nil {
			return errors.New("the disk is full")
		}
		return nil
	})
	if err != nil || pair.RefreshToken == "" {
		t.Errorf("%v, %v", pair, err)
	}
}
