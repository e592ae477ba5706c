package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
)

// A service of several replicas shares one session, sealed with a key that Redis
// never sees.
func Example() {
	client := redis.NewClient(&redis.Options{
		Addr:                  "redis.internal:6379",
		ContextTimeoutEnabled: true,
		DialTimeout:           2 * time.Second,
		DialerRetries:         1,
	})
	defer client.Close()
	shared, err := redisstore.New(client, redisstore.Config{Prefix: "myservice:"})
	if err != nil {
		fmt.Println(err)
		return
	}
	key := tokenstore.NewKey() // a real program keeps it in a safe place
	manager := refresh.NewManager(refresh.Config{
		OAuthClient: oauth.NewClient(oauth.Config{ClientID: "myservice", TokenURL: "https://login.example.com/token"}),
		Store:       tokenstore.NewSealed(shared, tokenstore.Keys(key)),
		Session:     "partner-api",
	})
	if err := manager.Start(context.Background(), nil); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()
}

// A program tells a Redis that is down from a session that is not there.
func ExampleNew() {
	logging.Disable() // go-redis would write to standard error that it cannot connect
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1, MaxRetries: -1})
	defer client.Close()
	store, err := redisstore.New(client, redisstore.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = store.Get(context.Background(), "default")
	switch {
	case errors.Is(err, tokenstore.ErrNotFound):
		fmt.Println("log in")
	case errors.Is(err, tokenstore.ErrUnavailable):
		fmt.Println("Redis is down: try again")
	}
	// Output: Redis is down: try again
}
