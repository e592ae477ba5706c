package redisstore

import (
	"fmt"
	"hash/fnv"
)

// buckets is how many groups the sessions are divided into. Each group has an index
// of its names and lies in one hash slot, so that a script changes a session and its
// index in one step, also in a Cluster. Enough for tens of masters to get an even
// share; few enough to be asked in one round trip. It can never be changed: it is in
// every key.
const buckets = 256

// bucketOf returns a session's bucket.
func bucketOf(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return int(h.Sum32() % buckets)
}

// key returns a key of a bucket. The bucket is the hash tag, and braces in a name,
// which come later, mean nothing (Redis Cluster specification, "Hash tags").
func (s *Store) key(bucket int, kind string) string {
	return fmt.Sprintf("%s{%02x}:%s", s.prefix, bucket, kind)
}

func (s *Store) recordKey(name string) string { return s.key(bucketOf(name), "session:"+name) }
func (s *Store) tombKey(name string) string   { return s.key(bucketOf(name), "deleted:"+name) }
func (s *Store) lockKey(name string) string   { return s.key(bucketOf(name), "lock:"+name) }
func (s *Store) indexKey(bucket int) string   { return s.key(bucket, "names") }
func (s *Store) asideKey(name string) string  { return s.key(bucketOf(name), "damaged:"+name) }
func (s *Store) channel() string              { return s.prefix + "changed" }

// sessionKeys are the keys of the scripts that change a session.
func (s *Store) sessionKeys(name string) []string {
	return []string{s.recordKey(name), s.tombKey(name), s.indexKey(bucketOf(name)), s.asideKey(name)}
}
