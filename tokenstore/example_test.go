package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A command-line tool keeps its login in a directory of its own, and the next
// run finds it there.
func ExampleNewFile() {
	dir, err := os.MkdirTemp("", "example") // a real program: tokenstore.DefaultDir
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()

	store, err := tokenstore.NewFile(filepath.Join(dir, "myprogram"))
	if err != nil {
		log.Fatal(err)
	}
	tokens := &oauth.TokenPair{AccessToken: "2YotnFZFEjr1zCsicMWpAA", RefreshToken: "tGzv3JOkF0XG5Qx2TlKWIA"}
	if _, err := store.Set(ctx, "default", &tokenstore.Record{Tokens: tokens}); err != nil {
		log.Fatal(err)
	}

	again, err := tokenstore.NewFile(filepath.Join(dir, "myprogram"))
	if err != nil {
		log.Fatal(err)
	}
	rec, err := again.Get(ctx, "default")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rec.Tokens) // prints no token
	fmt.Println(rec.Tokens.AccessToken == tokens.AccessToken)

	_, err = again.Get(ctx, "work")
	fmt.Println(errors.Is(err, tokenstore.ErrNotFound))
	// Output:
	// oauth.TokenPair{access:[redacted] refresh:[redacted]}
	// true
	// true
}

// A write names the version it replaces, so the slower of two writers notices.
func ExampleMemory() {
	ctx := context.Background()
	var store tokenstore.Memory
	first := &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "1"}}
	version, err := store.Set(ctx, "default", first)
	if err != nil {
		log.Fatal(err)
	}

	fast := &tokenstore.Record{Version: version, Tokens: &oauth.TokenPair{AccessToken: "2"}}
	slow := &tokenstore.Record{Version: version, Tokens: &oauth.TokenPair{AccessToken: "3"}}
	_, err = store.Set(ctx, "default", fast)
	fmt.Println(err)
	_, err = store.Set(ctx, "default", slow)
	fmt.Println(err)
	// Output:
	// <nil>
	// tokenstore: save session "default": the session was changed by another writer
}

// Whoever wants to spend a refresh token takes the session's lock first.
func ExampleLocker() {
	ctx := context.Background()
	var store tokenstore.Memory
	lease, err := store.Lock(ctx, "default")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = lease.Unlock() }()
	// Read the record again: somebody else may have renewed it meanwhile.
	_, err = store.Get(ctx, "default")
	fmt.Println(err)
	fmt.Println(lease.Err() == nil)
	// Output:
	// tokenstore: read session "default": no such session
	// true
}

// A program with a place for a secret, such as a keyring or the secrets of its
// cluster, keeps its sessions sealed.
func ExampleNewSealed() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	files, err := tokenstore.NewFile(filepath.Join(dir, "myprogram"))
	if err != nil {
		log.Fatal(err)
	}

	secret := tokenstore.NewKey().Encode() // once; keep it in that place
	key, err := tokenstore.ParseKey(secret)
	if err != nil {
		log.Fatal(err)
	}
	store := tokenstore.NewSealed(files, tokenstore.Keys(key))
	tokens := &oauth.TokenPair{AccessToken: "2YotnFZFEjr1zCsicMWpAA", RefreshToken: "tGzv3JOkF0XG5Qx2TlKWIA"}
	if _, err := store.Set(ctx, "default", &tokenstore.Record{Tokens: tokens}); err != nil {
		log.Fatal(err)
	}

	rec, err := store.Get(ctx, "default")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rec.Tokens.AccessToken == tokens.AccessToken)

	rec, err = files.Get(ctx, "default") // without the key
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rec.Tokens)

	_, err = tokenstore.NewSealed(files, tokenstore.Keys(tokenstore.NewKey())).Get(ctx, "default")
	fmt.Println(errors.Is(err, tokenstore.ErrSealed))
	// Output:
	// true
	// <nil>
	// true
}

// Any store serves where a callback that saves tokens is wanted.
func ExampleFunc() {
	ctx := context.Background()
	var store tokenstore.Memory
	var save func(context.Context, *oauth.TokenPair) error = tokenstore.Func(&store, "default")

	if err := save(ctx, &oauth.TokenPair{AccessToken: "a1", RefreshToken: "r1"}); err != nil {
		log.Fatal(err)
	}
	// A server that does not rotate answers without a refresh token.
	if err := save(ctx, &oauth.TokenPair{AccessToken: "a2"}); err != nil {
		log.Fatal(err)
	}
	rec, err := store.Get(ctx, "default")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rec.Tokens.AccessToken, rec.Tokens.RefreshToken)
	// Output: a2 r1
}
