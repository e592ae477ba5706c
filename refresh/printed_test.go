package refresh_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"golang.org/x/oauth2"
)

// withoutSecrets are the types that have none, and why.
var withoutSecrets = map[string]string{
	"refresh.EventKind": "a choice", "refresh.Renewal": "a choice", "refresh.State": "a choice", "refresh.Limits": "numbers",
	"refresh.RefreshStatus": "texts of errors, each cleaned: TestStatusHoldsNoSecret", "refresh.PoolStats": "numbers, and ServerStats", "refresh.ServerStats": "numbers, and the name of a server",
	"failure.PanicError": "the name of a type", "witness.Book": "hashes, on the disk",
}

// A holding is a Refresher and a Store of a program's own, which says nothing of how it prints.
type holding struct {
	tokenstore.Memory
	pair *oauth.TokenPair
	text string
}

func (h *holding) Refresh(context.Context, *oauth.TokenPair) (*oauth.TokenPair, error) {
	return nil, errors.New(h.text)
}

// Each type of this package is here that a program can hold a secret in.
func TestLaw8_EveryTypeThatHoldsASecretPrintsWithoutIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(taint.Book)
		b.Secret("the program's own", "s3cret-of-the-program")
		f := newFixture(t, oauthtest.Config{ClientSecret: "s3cret-of-the-client"})
		b.Secret("client secret", "s3cret-of-the-client")
		knowPair(b, f.first)
		f.start(t)
		own := &holding{pair: f.first, text: "s3cret-of-the-program"}
		cfg := refresh.Config{OAuthClient: own, Store: own, Witness: refresh.OpenWitness(t.TempDir())}
		pool := refresh.PoolConfig{Config: cfg}
		b.Print("configuration", cfg, &cfg, pool, &pool)
		p := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: own, Store: own}})
		b.Print("pool", p, p.Stats())
		resource, transport := f.Resource("https://api.test"), f.Transport(nil)
		b.Print("manager", f.Manager, resource, transport, resource.Transport(transport))
		failed := refresh.Event{Kind: refresh.EventRefreshFailed, Err: f.failsWith(t, own)}
		b.Print("event", failed, &failed)
		b.Print("status", f.GetRefreshStatus())
		f.Stop()
		b.Check(t, 5, 5)
		b.CheckTypes(t, "../api/refresh.txt", withoutSecrets)
	})
}

// failsWith returns what the manager says of a refresh by a Refresher that quotes a secret.
func (f *fixture) failsWith(t *testing.T, r refresh.Refresher) error {
	t.Helper()
	m := f.sibling(t, func(cfg *refresh.Config) { cfg.OAuthClient, cfg.Logger = r, slog.New(slog.DiscardHandler) }).start(t)
	defer m.Stop()
	err := m.ForceRefresh(t.Context())
	if err == nil {
		t.Errorf("no error: %v", m.GetRefreshStatus())
	}
	return err
}

func TestEventAsJSONHasTheTextOfItsError(t *testing.T) {
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	failed := &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Status: 503, Sent: true, Err: &oauth2.RetrieveError{Body: []byte("s3cret")}}
	for _, tt := range []struct {
		event refresh.Event
		want  string
	}{
		{refresh.Event{Kind: refresh.EventStarted, Session: "a", Time: at}, `{"kind":"started","session":"a","time":"2026-11-20T10:00:00Z"}`},
		{refresh.Event{Kind: refresh.EventRefreshFailed, Session: "a", Time: at, Err: failed, NextAttempt: at}, `{"kind":"refresh_failed","session":"a","time":"2026-11-20T10:00:00Z","error":` + strconv.Quote(failed.Error()) + `,"next_attempt":"2026-11-20T10:00:00Z"}`},
	} {
		if got, err := json.Marshal(tt.event); err != nil || string(got) != tt.want {
			t.Errorf("%s, %v; want %s", got, err, tt.want)
		}
	}
	if got, err := json.Marshal(failed); err != nil || string(got) != `{"error":`+strconv.Quote(failed.Error())+`,"op":"refresh","status":503,"sent":true}` {
		t.Errorf("%s, %v", got, err)
	}
}
