package ginjwt_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/refreshtokens"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken/ginjwt"
)

func TestWithoutContextIsTheSameStore(t *testing.T) {
	gone := errors.New("gone")
	s := ginjwt.WithoutContext(&refreshtokens.Memory{NotFound: gone}, 0)
	if err := s.Set("t", "alice", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if user, err := s.Get("t"); user != "alice" || err != nil {
		t.Errorf("Get = %v, %v", user, err)
	}
	if n, err := s.Count(); n != 1 || err != nil {
		t.Errorf("Count = %d, %v", n, err)
	}
	if n, err := s.Cleanup(); n != 0 || err != nil {
		t.Errorf("Cleanup = %d, %v", n, err)
	}
	if err := s.Delete("t"); err != nil {
		t.Error(err)
	}
	if _, err := s.Get("t"); err != gone { // gin-jwt compares like this
		t.Errorf("Get of a deleted token: %v; want the store's own error", err)
	}
}

// A stuck store waits for as long as it is asked to.
type stuck struct{ ginjwt.Store }

func (stuck) Get(ctx context.Context, _ string) (any, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestWithoutContextEndsCallsByItself(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: ginjwt.DefaultTimeout, time.Second: time.Second, -1: ginjwt.DefaultTimeout} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			_, err := ginjwt.WithoutContext(stuck{}, given).Get("t")
			if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took != want {
				t.Errorf("with a limit of %v: %v after %v; want it after %v", given, err, took, want)
			}
		})
	}
}

type user struct {
	Name string `json:"name"`
	ID   int64  `json:"id"`
}

func TestUserDataHasItsTypeAgain(t *testing.T) {
	const data = `{"name":"alice","id":9007199254740993}`
	if got, err := ginjwt.UserData[user]([]byte(data)); err != nil || got != (user{"alice", 9007199254740993}) {
		t.Errorf("%v, %v", got, err)
	}
	got, err := ginjwt.UserData[*user]([]byte(data))
	if pointer, ok := got.(*user); err != nil || !ok || *pointer != (user{"alice", 9007199254740993}) {
		t.Errorf("%v, %v; want a *user", got, err)
	}
	if got, err := ginjwt.UserData[string]([]byte(`"alice"`)); err != nil || got != "alice" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ginjwt.UserData[*user]([]byte(`null`)); err != nil || got != nil {
		t.Errorf("%v, %v; want nil itself", got, err)
	}
	if got, err := ginjwt.UserData[user]([]byte(`"alice"`)); err == nil || got != nil {
		t.Errorf("%v, %v; want an error", got, err)
	}
}
