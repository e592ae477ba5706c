// Package redisstore keeps OAuth sessions in Redis, for processes on many hosts that share
// them.
//
//	client := redis.NewClient(&redis.Options{Addr: "redis.internal:6379", ContextTimeoutEnabled: true})
//	store, err := redisstore.New(client, redisstore.Config{})
//	manager := refresh.NewManager(refresh.Config{OAuthClient: oauthClient, Store: store, Session: "default"})
//
// The client is one of github.com/redis/go-redis/v9, for one server, Sentinel or a
// Cluster, Redis 6.2 or later.
//
// # Who can read it
//
// The tokens lie in Redis in the clear, in its memory, files, replicas and slow log.
// A program that can read them there can use them. Wrap the store with [tokenstore.NewSealed]
// to keep them encrypted, and use TLS and a password in any case.
//
// A user of Redis with an ACL needs the keys that begin with the prefix, and the channel
// of changes: "~evertoken:*" and "&evertoken:changed". From Redis 7 on, a user has no
// channel unless it is given. Without it, sessions are saved as ever, and Watch fails:
// other processes learn of a change when they next look. Where commands are allowed one by
// one, these are needed, beside those of go-redis (HELLO, AUTH, PING): GET, SET, DEL, EXISTS, TYPE,
// RENAME, PERSIST, PEXPIRE, PTTL, HGET, HMGET, HSET, HDEL, HEXISTS, HSTRLEN, ZADD, ZREM, ZRANGE, ZCOUNT, ZUNIONSTORE,
// EVAL, EVALSHA, TIME, PUBLISH and SUBSCRIBE.
//
// # What a lock can promise, and what not
//
// Before a refresh token is spent its session is locked. The lock is a lease: a key
// that Redis removes when its time is over ([Config.LeaseTime]), and that the holder
// renews when a third of it is. While Redis keeps its data and every process can trust
// its clocks, there is one holder. A holder knows when its lease may be over, by its
// own clocks and counted from before the request was sent; from then on the lease's
// Err is [tokenstore.ErrLeaseLost], also after a laptop slept, and nothing is spent.
//
// No lease can do more than that:
//
//   - A process that is stopped after it looked at its lease, and before its request
//     leaves the machine, sends it when it wakes up. That takes a stop longer than the
//     lease within a few microseconds; and the next holder has seen its pending mark.
//   - A Redis that forgets a lock grants it twice: after a restart without persistence,
//     a failover to a replica that was behind, an eviction, or a jump of its clock. The
//     first holder notices at its next renewal.
//
// What holds always, without any lock: an older pair never overwrites a newer one. A
// write names the version it replaces, in one atomic script. So the version is the
// fencing token. The number of a lease would be a worse one: it would refuse the pair
// of a holder whose lease ended while the server's answer was on its way, which is the
// only good one, even if no other holder has written anything since.
//
// # When Redis is down
//
// Three errors differ in what helps: [tokenstore.ErrLocked], another holder has the lock;
// [tokenstore.ErrUnavailable], Redis cannot be asked; [tokenstore.ErrLeaseLost], the
// lock was ours and may not be any more. A refresh.Manager serves the token it has as
// long as that lives, and spends nothing without a lock. It tries again until Redis is
// back.
//
// Calls end with their context, whatever the client does. Three settings of the client
// help: ContextTimeoutEnabled lets it stop waiting with its caller; DialerRetries: 1
// makes it fail after one attempt to connect rather than five; and a DialTimeout of a
// second or two. By itself go-redis repeats a call whose answer was lost; here that
// changes nothing, because every script recognizes its own repetition.
//
// go-redis writes to standard error when it cannot connect. That is one setting for
// the whole program, which cannot be read back, so New leaves it alone: a program that
// wants silence calls Disable of github.com/redis/go-redis/v9/logging, or SetLogger of
// go-redis with a logger of its own.
//
// # Whose time it is
//
// A record says when its token ends by the clock of Redis ([Store.Time]). A
// refresh.Manager translates, so hosts may be minutes apart and still renew a session
// when it is due, once. A program that reads or writes records itself does not have
// that. After a failover to a Redis whose clock differs, what is stored is off by the
// difference, until it is renewed.
//
// # What Redis must keep
//
// A record is as durable as the server makes it: with "appendonly yes" and
// "appendfsync always" it survives a power cut, with the default a second may be lost,
// with replicas what they have not heard. "maxmemory-policy" must be "noeviction".
//
// What Redis loses is not taken for a logout. Delete leaves a trace, without tokens,
// for thirty days; a session that this Store has seen and that is gone without a trace
// is [tokenstore.ErrDamaged], and a manager that holds its tokens saves them again. If
// an older state comes back, the manager replaces it by the newer one it holds.
//
// # What is stored where
//
//	key, after the prefix    type        of
//	{hh}:session:<name>      hash        a session: version, record, id of the last write
//	{hh}:deleted:<name>      hash        the trace of one that was deleted
//	{hh}:damaged:<name>      any         what lay in the place of one and was no hash, until Delete
//	{hh}:lock:<name>         string      its lock: the holder's random name
//	{hh}:names               sorted set  the names of the sessions with that hh
//	changed                  channel     what happened, and the name of the session that changed:
//	                                     "=version:name", or "?version:name" for the announcement of a spend
//
// hh is one of 256 values, chosen by the name; all keys of a session are in one hash
// slot of a Cluster. A session is removed by Redis thirty days after nothing can renew
// it any more, if its record tells when that is: a refresh token whose end is not
// known, or a sealed record, stays until Delete or Cleanup.
package redisstore
