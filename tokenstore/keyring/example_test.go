package keyring_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

// A program keeps its session with the key in the OS keyring, and tells its user
// what to do if that cannot be used.
func Example() {
	ctx := context.Background()
	store, err := keyring.Open(ctx, keyring.Config{Service: "myprogram"})
	switch {
	case errors.Is(err, keyring.ErrKeyringLocked):
		fmt.Println("unlock your keyring, and run this again")
		return
	case err != nil:
		fmt.Println(err)
		return
	}
	manager := refresh.NewManager(refresh.Config{
		OAuthClient: oauth.NewClient(oauth.Config{ClientID: "myprogram", TokenURL: "https://login.example.com/token"}),
		Store:       store,
		Session:     "default",
	})
	if err := manager.Start(ctx, nil); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()
}

// A program that saves tokens by a callback has the keyring behind it: what it saves,
// the next run starts with. Programs that can are better off with Config.Store, by which
// several processes share the session.
func ExampleOpen_tokenStoreFunc() {
	ctx := context.Background()
	store, err := keyring.Open(ctx, keyring.Config{Service: "myprogram"})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := oauth.NewClient(oauth.Config{ClientID: "myprogram", TokenURL: "https://login.example.com/token"})
	manager := refresh.NewManager(refresh.Config{
		OAuthClient: client,
		TokenStore:  tokenstore.Func(store, "default"), // a refresh.TokenStoreFunc
		OnRefreshFail: func(err error) bool {
			fmt.Println("log in again:", err)
			return false
		},
	})
	var tokens *oauth.TokenPair
	switch saved, err := store.Get(ctx, "default"); {
	case err == nil:
		tokens = saved.Tokens
	case errors.Is(err, tokenstore.ErrNotFound):
		if tokens, err = client.Authenticate(ctx); err != nil {
			fmt.Println(err)
			return
		}
	default:
		fmt.Println(err)
		return
	}
	if err := manager.Start(ctx, tokens); err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Stop()
}
