package redisstore

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/storeerr"
)

// Each script is one atomic step. Redis or the client may carry it out twice, since
// go-redis repeats a call whose answer was lost; each is written so that this changes
// nothing.
var (
	//go:embed lua/kind.lua
	kindLua string
	//go:embed lua/get.lua
	getLua string
	//go:embed lua/held.lua
	heldLua string
	//go:embed lua/acquire.lua
	acquireLua string
	//go:embed lua/renew.lua
	renewLua string
	//go:embed lua/release.lua
	releaseLua string
	//go:embed lua/number.lua
	numberLua string
	//go:embed lua/save.lua
	saveLua string
	//go:embed lua/write.lua
	writeLua string
	//go:embed lua/begin.lua
	beginLua string
	//go:embed lua/settle.lua
	settleLua string
	//go:embed lua/delete.lua
	deleteLua string
	//go:embed lua/aside.lua
	asideLua string
	//go:embed lua/forget.lua
	forgetLua string
)

// limitsLua tells scripts what Go knows.
var limitsLua = fmt.Sprintf("local maxVersion = %d\n", uint64(storeerr.MaxVersion))

var (
	getScript     = redis.NewScript(kindLua + getLua)
	acquireScript = redis.NewScript(kindLua + heldLua + acquireLua)
	renewScript   = redis.NewScript(kindLua + renewLua)
	releaseScript = redis.NewScript(kindLua + releaseLua)
	writeScript   = redis.NewScript(limitsLua + numberLua + kindLua + saveLua + writeLua)
	beginScript   = redis.NewScript(limitsLua + numberLua + kindLua + saveLua + heldLua + beginLua)
	settleScript  = redis.NewScript(limitsLua + numberLua + kindLua + saveLua + settleLua)
	deleteScript  = redis.NewScript(limitsLua + numberLua + kindLua + deleteLua)
	asideScript   = redis.NewScript(asideLua)
	forgetScript  = redis.NewScript(kindLua + forgetLua)
)

// run runs a script by its hash, and sends it whole to a server that has not seen
// it yet.
func (s *Store) run(ctx context.Context, script *redis.Script, keys []string, args ...any) (any, error) {
	return call(ctx, func(ctx context.Context) (any, error) {
		return script.Run(ctx, s.client, keys, args...).Result()
	})
}

// runYesNo runs a script that returns 1 or 0.
func (s *Store) runYesNo(ctx context.Context, script *redis.Script, keys []string, args ...any) (bool, error) {
	n, err := s.run(ctx, script, keys, args...)
	return n == int64(1), err
}

// call runs fn, which talks to Redis, and returns when ctx ends even if fn does not:
// go-redis waits for an answer without looking at ctx. What was sent may still be
// carried out then.
func call[T any](ctx context.Context, fn func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		v, err := fn(ctx)
		answers <- answer{v, err}
	}()
	select {
	case a := <-answers:
		return a.value, judgeError(a.err)
	case <-ctx.Done():
		var none T
		return none, judgeError(ctx.Err())
	}
}
