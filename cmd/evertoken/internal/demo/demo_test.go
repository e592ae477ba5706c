package demo

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestDemoFailsWhenARequestWasRejected(t *testing.T) {
	d := &demo{board: newBoard(), server: oauthtest.New(oauthtest.Config{})}
	d.board.request(time.Millisecond, nil)
	if err := d.verdict(); err != nil {
		t.Errorf("with all requests served: %v", err)
	}
	d.board.request(time.Millisecond, errors.New("the API answered 401 Unauthorized"))
	var p *exit.Problem
	if err := d.verdict(); !errors.As(err, &p) || p.Code != exit.Failed {
		t.Errorf("with a request rejected: %v; want exit code %d", err, exit.Failed)
	}
}

func TestDemoFailsWhenARefreshTokenWasMisused(t *testing.T) {
	server := oauthtest.New(oauthtest.Config{})
	d := &demo{board: newBoard(), server: server}
	pair, err := server.Login(oauthtest.DefaultUser)
	if err != nil {
		t.Fatal(err)
	}
	client := oauth.NewClient(server.OAuthConfig())
	for range 2 {
		_, _ = client.Refresh(t.Context(), pair)
	}
	var p *exit.Problem
	if err := d.verdict(); !errors.As(err, &p) || p.Code != exit.Failed {
		t.Errorf("after a refresh token was spent twice: %v; want exit code %d", err, exit.Failed)
	}
	if text := d.auditText(); !strings.HasPrefix(text, "1 mistake\n") {
		t.Errorf("audit: %q", text)
	}
}

func TestTheSameSeedMakesTheSameTroubles(t *testing.T) {
	draw := func(seed uint64, n int) (names []string) {
		tm := newTroublemaker(&demo{Options: Options{TokenLife: 20 * time.Second}}, time.Second, seed)
		for range n {
			names = append(names, tm.next().name)
		}
		return names
	}
	n := len(troubles(time.Second))
	if !slices.Equal(draw(1, 2*n), draw(1, 2*n)) {
		t.Error("the same seed drew different troubles")
	}
	names := draw(1, n)
	slices.Sort(names)
	if len(slices.Compact(names)) != n {
		t.Error("a trouble was drawn twice before all others")
	}
}

func TestPlainDisplayPrintsEachEventOnce(t *testing.T) {
	var out strings.Builder
	p := &plainDisplay{out: &out}
	v := example()
	for _, elapsed := range []time.Duration{0, time.Second, 5 * time.Second, 6 * time.Second} {
		v.elapsed = elapsed
		if err := p.show(v); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(out.String(), "fault: connection reset"); n != 1 {
		t.Errorf("an event was printed %d times", n)
	}
	if n := strings.Count(out.String(), "1,234 served, 0 rejected, 3 renewals, token lives 13.2s"); n != 1 {
		t.Errorf("%d reports in 6 s; want 1", n)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("lines hold escape sequences")
	}
}

func TestFullDiskMeetsNewPairsOnly(t *testing.T) {
	s, err := newDemoStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rec := &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", RefreshToken: "r1"}}
	save := func() error {
		version, err := s.Set(t.Context(), "demo", rec)
		if err == nil {
			rec.Version = version
		}
		return err
	}
	if err := save(); err != nil {
		t.Fatal(err)
	}
	s.fail(syscall.ENOSPC)
	if err := save(); err != nil {
		t.Errorf("the same pair: %v", err)
	}
	rec.Tokens.RefreshToken = "r2"
	if err := save(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a new pair on a full disk: error %v; want ENOSPC", err)
	}
	if n := s.saves(); n != 1 {
		t.Errorf("%d saves counted; want 1", n)
	}
	s.fail(nil)
	if err := save(); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if n := s.saves(); n != 2 {
		t.Errorf("%d saves counted; want 2", n)
	}
}
