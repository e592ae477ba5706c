//go:build real && unix

package redisstore_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

// suite runs storetest. Each test has a prefix of its own.
func suite(t *testing.T, client func() redis.UniversalClient, wrap func(tokenstore.Store) tokenstore.Store) {
	var n atomic.Int64
	prefixes := make(map[tokenstore.Store]string)
	open := func(t *testing.T, prefix string) tokenstore.Store {
		s := wrap(newStore(t, client(), redisstore.Config{Prefix: prefix}))
		prefixes[s] = prefix
		return s
	}
	storetest.Run(t, func(t *testing.T) tokenstore.Store {
		return open(t, "test "+strconv.FormatInt(n.Add(1), 10)+":")
	}, storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store {
		return open(t, prefixes[s])
	}))
}

func plain(s tokenstore.Store) tokenstore.Store { return s }

func TestStore(t *testing.T) {
	s := startServer(t)
	suite(t, func() redis.UniversalClient { return redis.NewClient(clientOptions(s.addr)) }, plain)
}

func TestStoreSealed(t *testing.T) {
	s, key := startServer(t), tokenstore.NewKey()
	suite(t, func() redis.UniversalClient { return redis.NewClient(clientOptions(s.addr)) }, func(s tokenstore.Store) tokenstore.Store {
		return tokenstore.NewSealed(s, tokenstore.Keys(key))
	})
}

func TestStoreInACluster(t *testing.T) {
	addrs := startCluster(t)
	suite(t, func() redis.UniversalClient {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ReadTimeout: patience})
	}, plain)
}

func TestStoreWithSentinel(t *testing.T) {
	sentinel, _, _ := startSentinel(t)
	suite(t, func() redis.UniversalClient {
		return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "main", SentinelAddrs: []string{sentinel}, ReadTimeout: patience})
	}, plain)
}
