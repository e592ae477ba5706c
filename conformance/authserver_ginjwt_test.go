package conformance

import (
	"os/exec"
	"testing"

	"github.com/evertoken/evertoken/oauth/dialect"
)

// ginJWTProgram returns the path of the backend in ginjwt.
var ginJWTProgram = program("ginjwt")

// ginJWTPassword is alice's at the backend.
const ginJWTPassword = `p:w%2F+ /&="~'\`

// startGinJWT starts the Go library appleboy/gin-jwt, which speaks no OAuth. Its
// dialect goes in JSON, and its refresh tokens are in memory.
func startGinJWT(t *testing.T, o serverOptions) *authServer {
	t.Helper()
	return newGinJWT(t, dialect.GinJWT(), o, ginJWTStore{})
}

// startGinJWTOnRedis starts it once more in its other ways: refreshes by form,
// logout where its README puts it, and refresh tokens in Redis.
func startGinJWTOnRedis(t *testing.T, o serverOptions) *authServer {
	t.Helper()
	d := dialect.GinJWT()
	d.Login.Encoding, d.Refresh.Encoding, d.Logout.Encoding = dialect.EncodeForm, dialect.EncodeForm, dialect.EncodeForm
	d.Logout.Path = "/auth/logout"
	return newGinJWT(t, d, o, ginJWTStore{redis: startRedis(t)})
}

// startGinJWTOnOurMemory starts it with refresh tokens in the memory store of
// package oauthtest.
func startGinJWTOnOurMemory(t *testing.T, o serverOptions) *authServer {
	t.Helper()
	return newGinJWT(t, dialect.GinJWT(), o, ginJWTStore{ours: true})
}

// startGinJWTOnOurs starts it with refresh tokens in Redis by the store of the
// package tokenstore/refreshtoken.
func startGinJWTOnOurs(t *testing.T, o serverOptions) *authServer {
	t.Helper()
	return newGinJWT(t, dialect.GinJWT(), o, ginJWTStore{redis: startRedis(t), ours: true})
}

// A ginJWTStore is where gin-jwt keeps refresh tokens; the zero value is memory.
type ginJWTStore struct {
	redis string // its address
	ours  bool   // by our store instead of its own
}

func newGinJWT(t *testing.T, d dialect.Dialect, o serverOptions, store ginJWTStore) *authServer {
	t.Helper()
	path, err := ginJWTProgram()
	if err != nil {
		missing(t, "gin-jwt cannot be built: "+err.Error())
	}
	s := newAuthServer(t)
	s.dialect = &d
	s.answers = map[string]string{"username": "alice", "password": ginJWTPassword}
	s.api = s.origin() + "/auth/hello"
	s.launch = func() (*process, string) {
		return startListening(t, exec.Command(path), func(string) any {
			return map[string]any{
				"accessTokenLifetime": o.life, "password": ginJWTPassword, "redis": store.redis, "ours": store.ours,
			}
		})
	}
	s.run()
	return s
}

// startRedis starts an empty Redis and returns its address.
func startRedis(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		missing(t, "there is no redis-server")
	}
	addr := "127.0.0.1:" + freePort(t)
	startAt(t, addr, path, "--bind", "127.0.0.1", "--port", addr[len("127.0.0.1:"):], "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	return addr
}
