package keyring

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/evertoken/evertoken/tokenstore"
)

// maxKeys bounds how many keys the item keeps, the newest first: 32 of them, with
// a space between, take 1,439 bytes of the 2,560 that fit into an item everywhere.
const maxKeys = 32

// sealingKey is the keyring item with the keys of a service. Its directories share
// it: were there one for each, a directory that is moved would lose its sessions.
type sealingKey struct {
	client *client
	locks  *locks
}

// read returns the keys, or errNoItem.
func (k *sealingKey) read(ctx context.Context) ([]tokenstore.Key, error) {
	text, err := k.client.get(ctx, keyItem)
	if err != nil {
		return nil, err
	}
	var keys []tokenstore.Key
	for _, word := range strings.Fields(text) {
		key, err := tokenstore.ParseKey(word)
		if err != nil {
			return nil, k.unreadable()
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, k.unreadable()
	}
	return keys, nil
}

func (k *sealingKey) unreadable() error {
	return fmt.Errorf("the item %q of %q in the OS keyring is not a sealing key: put back what it was; it was left alone",
		keyItem, k.client.service)
}

// create makes the first key, unless another process has done so meanwhile, or may
// fails.
func (k *sealingKey) create(ctx context.Context, may func(context.Context) error) error {
	return k.change(ctx, func() error {
		if _, err := k.read(ctx); !errors.Is(err, errNoItem) {
			return err
		}
		if err := may(ctx); err != nil {
			return err
		}
		return k.write(ctx, []tokenstore.Key{tokenstore.NewKey()})
	})
}

// add puts a new key before the others, of which it drops the oldest if there are
// too many.
func (k *sealingKey) add(ctx context.Context) error {
	return k.change(ctx, func() error {
		keys, err := k.read(ctx)
		if err != nil {
			return err
		}
		keys = append([]tokenstore.Key{tokenstore.NewKey()}, keys...)
		return k.write(ctx, keys[:min(len(keys), maxKeys)])
	})
}

// change calls fn while no other process or goroutine changes the item.
func (k *sealingKey) change(ctx context.Context, fn func() error) error {
	return exclusive(ctx, k.locks.items, keyItem, k.client.guard, fn)
}

func (k *sealingKey) write(ctx context.Context, keys []tokenstore.Key) error {
	words := make([]string, len(keys))
	for i, key := range keys {
		words[i] = key.Encode()
	}
	return k.client.set(context.WithoutCancel(ctx), keyItem, strings.Join(words, " "))
}
