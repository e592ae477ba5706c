package refresh_test

import (
	"context"
	"fmt"
	"log"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A service that works on behalf of many users: each has a session of its own, and
// all of them share one scheduler.
func ExamplePool() {
	server := oauthtest.New(oauthtest.Config{}) // stands for your provider
	ctx := context.Background()

	pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{
		OAuthClient: oauth.NewClient(server.OAuthConfig()),
		Store:       new(tokenstore.Memory),
		OnEvent: func(e refresh.Event) {
			if e.Kind == refresh.EventLoginRequired {
				fmt.Println(e.Session, "has to log in again")
			}
		},
	}})
	if err := pool.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer pool.Stop()

	// After a login, hand the tokens over.
	tokens, err := server.Login("alice")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := pool.Add(ctx, "user/42", tokens); err != nil {
		log.Fatal(err)
	}

	// Later, perhaps after a restart, work on the user's behalf.
	session, err := pool.Session(ctx, "user/42")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := session.TokenContext(ctx); err != nil { // or session.Client().Get(…)
		log.Fatal(err)
	}

	for st := range pool.Statuses() {
		fmt.Println(st.Session, "is", st.State)
	}
	// Output: user/42 is valid
}
