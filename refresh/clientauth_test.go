package refresh_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A keyService signs with a key that is elsewhere, and is down at times.
type keyService struct {
	crypto.Signer
	down atomic.Bool
}

func (k *keyService) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.down.Load() {
		return nil, errors.New("key service: connection refused")
	}
	return k.Signer.Sign(random, digest, opts)
}

// The life of a session whose client authenticates by key: a lost answer, an
// outage of the server, and one of what signs. No assertion is sent twice.
func TestSessionOfAClientWithAKeyLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key := &keyService{Signer: private}
		s := oauthtest.New(oauthtest.Config{Grace: time.Minute, Clients: []oauthtest.RegisteredClient{
			{ID: oauthtest.DefaultClientID, Keys: map[string]crypto.PublicKey{"": private.Public()}},
		}})
		pair, err := s.Login("alice")
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.OAuthConfig()
		cfg.ClientAuth = oauth.PrivateKeyJWT(oauth.AssertionKey{Signer: key})
		m := refresh.NewManager(refresh.Config{
			OAuthClient: oauth.NewClient(cfg), Store: new(tokenstore.Memory),
			OnRefreshFail: func(err error) bool { t.Errorf("login asked for: %v", err); return false },
		})
		if err := m.Start(t.Context(), pair); err != nil {
			t.Fatal(err)
		}
		defer m.Stop()
		alive := func(what string) {
			t.Helper()
			got, err := m.TokenContext(t.Context())
			if err != nil || !time.Now().Before(got.ExpiresAt) {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
		for _, step := range []struct {
			what  string
			fault []oauthtest.Fault
		}{
			{"in peace", nil},
			{"an answer is lost", []oauthtest.Fault{{Reset: true, AfterCommit: true}}},
			{"the server is in trouble", []oauthtest.Fault{{Status: 503, Times: 4}}},
		} {
			s.Script(step.fault...)
			before := s.Refreshes()
			time.Sleep(15 * time.Minute)
			synctest.Wait()
			alive(step.what)
			if s.Refreshes() == before {
				t.Errorf("%s: not refreshed", step.what)
			}
		}
		synctest.Wait()
		key.down.Store(true)
		sent := s.Requests(oauthtest.TokenEndpoint)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if n := s.Requests(oauthtest.TokenEndpoint); n != sent {
			t.Errorf("%d requests without a signature", n-sent)
		}
		if _, err := m.TokenContext(t.Context()); !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("while nothing signs: %v; want ErrTransient", err)
		}
		key.down.Store(false)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		alive("the key is back")
		if mistakes := s.Audit(); len(mistakes) > 0 {
			t.Errorf("the client mishandled its tokens: %v", mistakes)
		}
	})
}

// A session that was renewed with a secret is refused when the secret has ended.
// That is about the client, however often it is repeated.
func TestExpiredClientSecretIsNoVerdictOnTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told failures
		end := time.Now().Add(time.Hour)
		f := newFixture(t, oauthtest.Config{Clients: []oauthtest.RegisteredClient{
			{ID: oauthtest.DefaultClientID, Secret: "s", SecretExpiresAt: end},
		}}, told.use, func(cfg *refresh.Config) {
			client := cfg.OAuthClient.(*oauth.Client).Config()
			client.ClientAuth = oauth.SecretBasic("s").Until(end)
			cfg.OAuthClient = oauth.NewClient(client)
		}).start(t)
		time.Sleep(time.Hour - time.Second)
		f.inState(t, refresh.StateValid)
		time.Sleep(5 * time.Hour)
		f.inState(t, refresh.StateMisconfigured)
		events := f.events.of(refresh.EventMisconfigured)
		if len(events) != 1 || !errors.Is(events[0].Err, oauth.ErrClientSecretExpired) || len(told.heard()) != 0 {
			t.Errorf("events %v, OnRefreshFail %v; want the expired secret, once, and no login", events, told.heard())
		}
		if rec := f.record(t); rec.Dead != nil {
			t.Errorf("the session is marked %v", rec.Dead)
		}
		f.clean(t)
	})
}
