// Command sealedtoken prints the access token of a session in sealed files. It is
// "evertoken token" without the OS keyring: the key is in $KEY.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/evertoken/evertoken/tokenstore"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "sealedtoken:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	files, err := tokenstore.NewFile(dir)
	if err != nil {
		return err
	}
	store := tokenstore.NewSealed(files, func(context.Context) ([]tokenstore.Key, error) {
		key, err := tokenstore.ParseKey(os.Getenv("KEY"))
		return []tokenstore.Key{key}, err
	})
	rec, err := store.Get(context.Background(), "default")
	if err != nil {
		return err
	}
	_, err = fmt.Println(rec.Tokens.AccessToken)
	return err
}
