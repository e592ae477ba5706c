package oauthtest_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

func TestAuditOfAGoodClientIsEmpty(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	_, token := login(t, s)
	for range 3 {
		token = refresh(t.Context(), s, token).wantOK(t).text(t, "refresh_token")
	}
	if got := s.Audit(); len(got) != 0 {
		t.Errorf("Audit() = %v; want none", got)
	}
	spends := s.Spends()
	if len(spends) != 3 || !spends[2].Committed || !spends[2].Delivered || len(spends[2].TokenHash) != 12 {
		t.Errorf("Spends() = %+v; want 3 delivered ones", spends)
	}
}

func TestSpendingTwiceIsAMistake(t *testing.T) {
	for name, cfg := range map[string]oauthtest.Config{"strict": {}, "grace": {Grace: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			s := oauthtest.New(cfg)
			_, token := login(t, s)
			refresh(t.Context(), s, token).wantOK(t)
			refresh(t.Context(), s, token)
			wantMistakes(t, s, oauthtest.SpentTwice)
		})
	}
}

// lostAnswers are the ways for an answer to get lost after the commit.
var lostAnswers = map[string]oauthtest.Fault{
	"reset":  {Reset: true, AfterCommit: true},
	"cut":    {CutBody: true},
	"status": {Status: 502, HTML: true, AfterCommit: true},
	"hang":   {Hang: true, AfterCommit: true},
}

// lose spends token with a fault in the way, like a client that waits a minute.
func lose(t *testing.T, s *oauthtest.Server, token string, f oauthtest.Fault) {
	t.Helper()
	s.Script(f)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	refresh(ctx, s, token)
	synctest.Wait()
	if n := s.Refreshes(); n != 1 {
		t.Fatalf("%d refreshes; want 1 whose answer is lost", n)
	}
}

func TestF26_AReplayOfALostAnswerIsNoMistake(t *testing.T) {
	for name, fault := range lostAnswers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := oauthtest.New(oauthtest.Config{Grace: 2 * time.Minute})
				_, token := login(t, s)
				lose(t, s, token, fault)
				time.Sleep(45 * time.Second) // within the server's own window
				next := refresh(t.Context(), s, token).wantOK(t).text(t, "refresh_token")
				wantMistakes(t, s)
				// Now the client has the successor, and the old token is none any more.
				refresh(t.Context(), s, token)
				wantMistakes(t, s, oauthtest.SpentTwice)
				refresh(t.Context(), s, next)
			})
		})
	}
}

func TestALateReplayOfALostAnswerIsAMistake(t *testing.T) {
	for name, fault := range lostAnswers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := oauthtest.New(oauthtest.Config{})
				_, token := login(t, s)
				lose(t, s, token, fault)
				time.Sleep(30*time.Second + time.Millisecond)
				refresh(t.Context(), s, token)
				wantMistakes(t, s, oauthtest.SpentTwice)
			})
		})
	}
}

func TestAnswerLostExcusesAClientThatDied(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{Grace: time.Minute})
	_, token := login(t, s)
	refresh(t.Context(), s, token).wantOK(t)
	s.AnswerLost(token)
	refresh(t.Context(), s, token).wantOK(t)
	wantMistakes(t, s)
}

func TestRetryingAFailedRefreshIsNoMistake(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	_, token := login(t, s)
	s.Script(oauthtest.Fault{Status: 503, Times: 3}, oauthtest.Fault{Reset: true}, oauthtest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`})
	for range 5 {
		refresh(t.Context(), s, token)
	}
	refresh(t.Context(), s, token).wantOK(t)
	wantMistakes(t, s)
}

func TestSpendingAfterRevocationIsAMistake(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	_, token := login(t, s)
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.RevocationEndpoint), form("token", token))
	refresh(t.Context(), s, token).wantError(t, 400, "invalid_grant")
	wantMistakes(t, s, oauthtest.SpentAfterRevocation)
}

func TestF40_SpendingARefusedTokenAgainIsAMistake(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	_, token := login(t, s)
	s.RevokeAll("alice")
	s.Script(oauthtest.Fault{CutBody: true})
	refresh(t.Context(), s, token)
	refresh(t.Context(), s, token).wantError(t, 400, "invalid_grant")
	wantMistakes(t, s) // of the first refusal the client has read half
	refresh(t.Context(), s, token)
	wantMistakes(t, s, oauthtest.SpentAfterRevocation)
}

func TestSpendingInParallelIsAMistake(t *testing.T) {
	for name, cfg := range map[string]oauthtest.Config{"rotating": {}, "grace": {Grace: time.Hour}, "not rotating": {NoRotation: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := oauthtest.New(cfg)
				_, token := login(t, s)
				s.Script(oauthtest.Fault{Delay: 2 * time.Second})
				go refresh(t.Context(), s, token)
				time.Sleep(time.Second)
				refresh(t.Context(), s, token)
				time.Sleep(time.Hour)
				wantMistakes(t, s, oauthtest.SpentInParallel)
			})
		})
	}
}

func TestTryingAgainAfterLeavingIsNotParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{Grace: time.Minute})
		_, token := login(t, s)
		s.Script(oauthtest.Fault{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		refresh(ctx, s, token)
		refresh(t.Context(), s, token).wantOK(t)
		wantMistakes(t, s)
	})
}

func TestAServerThatGoesOnWithoutTheClientIsNoParallelSpend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := oauthtest.New(oauthtest.Config{Grace: time.Minute, RefreshTokens: &lazyStore{}})
		_, token := login(t, s)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		refresh(ctx, s, token)
		synctest.Wait()                          // the server, too, has seen that the client left
		refresh(t.Context(), s, token).wantOK(t) // while the store is still busy with the first
		synctest.Wait()                          // the server has put the first away
		wantMistakes(t, s)
		if ended := s.Spends()[0].Ended.Sub(start); ended != time.Second/2 {
			t.Errorf("the first spend ended after %v; want when its client left", ended)
		}
	})
}

func TestSpendingInParallelIsSeenOverSockets(t *testing.T) {
	store := &gateStore{opened: make(chan struct{}), entered: make(chan struct{}, 2)}
	s := oauthtest.NewServer(oauthtest.Config{RefreshTokens: store})
	defer s.Close()
	_, token := login(t, s)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	var wg sync.WaitGroup
	wg.Go(func() { refreshBy(t, s, c, token) })
	<-store.entered
	s.Script(oauthtest.Fault{Status: 503}) // the second need not get through the gate
	refreshBy(t, s, c, token)
	close(store.opened)
	wg.Wait()
	wantMistakes(t, s, oauthtest.SpentInParallel)
}

// gateStore holds Get until the gate is opened.
type gateStore struct {
	refreshtokens.Memory
	opened, entered chan struct{}
}

func (g *gateStore) Get(ctx context.Context, token string) (any, error) {
	g.entered <- struct{}{}
	<-g.opened
	return g.Memory.Get(ctx, token)
}

func TestSecretsInURLsAreMistakes(t *testing.T) {
	s := oauthtest.New(oauthtest.Config{})
	access, token := login(t, s)
	if r := get(t.Context(), s.Client(), s.Resource()+"?access_token="+access, ""); r.status != 401 {
		t.Errorf("a token in the query: HTTP %d; want 401", r.status)
	}
	f := form("grant_type", "refresh_token", "refresh_token", token)
	post(t.Context(), s.Client(), s.Endpoint(oauthtest.TokenEndpoint)+"?"+f.Encode(), nil).wantError(t, 401, "invalid_client")
	wantMistakes(t, s, oauthtest.TokenInURL, oauthtest.TokenInURL)
	for _, m := range s.Audit() {
		if text := m.String(); strings.Contains(text, token) || strings.Contains(text, access) || !strings.Contains(text, "sent in a URL") {
			t.Errorf("String() = %q; want what happened and no secret", text)
		}
	}
}

func TestMistakesPrintInOneLine(t *testing.T) {
	m := oauthtest.Mistake{Kind: oauthtest.SpentTwice, When: time.Date(2000, 1, 1, 0, 0, 5, 0, time.UTC), TokenHash: "3fa9c0ffee00"}
	if got, want := m.String(), "2000-01-01T00:00:05Z: refresh token 3fa9c0ffee00 spent twice"; got != want {
		t.Errorf("String() = %q; want %q", got, want)
	}
}
