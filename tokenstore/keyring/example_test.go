package keyring_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
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
