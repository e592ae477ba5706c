package refreshtoken_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken/ginjwt"
)

// That a real Redis does what it is asked is tested in the module conformance,
// together with gin-jwt.

var errDown = errors.New("connection refused")

func TestRedisThatIsDownIsNoVerdictOnAToken(t *testing.T) {
	client := redis.NewClient(&redis.Options{
		MaxRetries: -1, DialerRetries: 1,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, errDown },
	})
	t.Cleanup(func() { _ = client.Close() })
	s := refreshtoken.New(refreshtoken.Config{Client: client})
	const token, user = "PLANTED-token", "PLANTED-user"
	_, getErr := s.Get(t.Context(), token)
	_, countErr := s.Count(t.Context())
	for doing, err := range map[string]error{
		"Set":    s.Set(t.Context(), token, user, time.Now().Add(time.Hour)),
		"Get":    getErr,
		"Delete": s.Delete(t.Context(), token),
		"Count":  countErr,
	} {
		if !errors.Is(err, errDown) || errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("%s: error %v; want the cause, and not ErrNotFound", doing, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, s, *s); strings.Contains(text, "PLANTED") {
			t.Errorf("%s: a secret is in %s", doing, text)
		}
	}
}

func TestSetRefusesWhatItCannotStore(t *testing.T) {
	s := refreshtoken.New(refreshtoken.Config{Client: redis.NewClient(&redis.Options{
		Dialer: func(context.Context, string, string) (net.Conn, error) { panic("Redis was asked") },
	})})
	if err := s.Set(t.Context(), "", "alice", time.Now().Add(time.Hour)); err == nil {
		t.Error("an empty token was stored")
	}
	if err := s.Set(t.Context(), "r", make(chan int), time.Now().Add(time.Hour)); err == nil {
		t.Error("a channel was stored")
	}
	for _, past := range []time.Time{time.Now().Add(-time.Second), {}} {
		if err := s.Set(t.Context(), "r", "alice", past); err == nil {
			t.Errorf("a token that ended at %v was stored", past)
		}
	}
	if _, err := s.Get(t.Context(), ""); err != tokenstore.ErrNotFound {
		t.Errorf("Get of no token: %v; want ErrNotFound", err)
	}
	if err := s.Delete(t.Context(), ""); err != nil {
		t.Errorf("Delete of no token: %v", err)
	}
}

func TestNewWantsAClient(t *testing.T) {
	var node *redis.Client
	for name, client := range map[string]redis.UniversalClient{"none": nil, "a nil pointer": node} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("New without a Client did not panic")
				}
			}()
			refreshtoken.New(refreshtoken.Config{Client: client})
		})
	}
}

// A server built with gin-jwt hands the store to its middleware, together with the
// error that gin-jwt knows: core.ErrRefreshTokenNotFound.
func Example() {
	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()
	unknown := errors.New("refresh token not found")
	store := refreshtoken.New(refreshtoken.Config{Client: client, NotFound: unknown})

	ctx := context.Background()
	if err := store.Set(ctx, "the token", "alice", time.Now().Add(30*24*time.Hour)); err != nil {
		fmt.Println(err)
		return
	}
	user, err := store.Get(ctx, "the token")
	fmt.Println(user, err)
}

// Each type of this package is here that a program can hold a secret in: the client has one.
func TestLaw8_StoreAndConfigPrintNoPassword(t *testing.T) {
	b := new(taint.Book)
	b.Secret("password", "s3cret-of-redis")
	client := redis.NewClient(&redis.Options{Password: "s3cret-of-redis"})
	t.Cleanup(func() { _ = client.Close() })
	cfg := refreshtoken.Config{Client: client}
	s := refreshtoken.New(cfg)
	b.Print("configuration", cfg, &cfg)
	b.Print("store", s, *s, ginjwt.WithoutContext(s, 0))
	b.Check(t, 1, 2)
	b.CheckTypes(t, "../../api/tokenstore_refreshtoken.txt", nil)
	b.CheckTypes(t, "../../api/tokenstore_refreshtoken_ginjwt.txt", nil)
}
