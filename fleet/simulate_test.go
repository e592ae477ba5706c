package main

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// The simulation says of a crowd what a Pool does with one.
func TestTheSimulationAgreesWithAPool(t *testing.T) {
	m := model{sessions: 300, life: 30 * time.Minute, threshold: 5 * time.Minute, length: 6 * time.Hour}
	want := 0
	for _, n := range m.renewals(rand.New(rand.NewPCG(1, 1))) {
		want += n
	}
	synctest.Test(t, func(t *testing.T) {
		names, known := users(m.sessions), make(map[string]string)
		for _, name := range names {
			known[name] = "secret"
		}
		server := oauthtest.New(oauthtest.Config{AccessTokenLifetime: m.life, Users: known})
		pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig())}})
		if err := pool.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		defer pool.Stop()
		for _, name := range names {
			pair, err := server.Login(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pool.Add(t.Context(), name, pair); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(m.length)
		synctest.Wait()
		if got := server.Refreshes(); math.Abs(float64(got-want)) > 0.02*float64(want) {
			t.Errorf("a pool renewed %d times; the simulation says %d", got, want)
		}
		if mistakes := server.Audit(); len(mistakes) > 0 {
			t.Error(mistakes)
		}
	})
}

func TestASessionHasOneOwnerAndFewMove(t *testing.T) {
	fullest, moved := share(20_000, 10)
	if fullest > 1.1 {
		t.Errorf("the fullest of 10 replicas has %.2f times its share", fullest)
	}
	if share := 1.0 / 11; math.Abs(moved-share) > 0.1*share {
		t.Errorf("%.3f of the sessions move to an 11th replica; want its share, %.3f", moved, share)
	}
}
