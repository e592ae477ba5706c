package authclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/evertoken/evertoken/examples/grpc/authclient"
	"github.com/evertoken/evertoken/examples/grpc/authpb"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// watch reads a stream of two messages to its end, or to an error.
func (f *fixture) watch(ctx context.Context) error {
	stream, err := f.account.Watch(ctx, &authpb.WatchRequest{Times: 2})
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		reply, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && n == 2:
			return nil
		case err != nil:
			return err
		case reply.GetUser() != "alice":
			return errors.New("the stream is for " + reply.GetUser())
		}
	}
}

// upload sends three chunks.
func (f *fixture) upload(ctx context.Context) error {
	stream, err := f.account.Upload(ctx)
	if err != nil {
		return err
	}
	for range 3 {
		if err := stream.Send(&authpb.UploadRequest{Chunk: []byte("chunk")}); err != nil {
			break // CloseAndRecv tells why
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

func calls(f *fixture) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{"unary": f.whoami, "server stream": f.watch}
}

func TestCallsCarryFreshTokens(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		for range 3 {
			for name, call := range map[string]func(context.Context) error{"unary": f.whoami, "server stream": f.watch, "client stream": f.upload} {
				if err := call(t.Context()); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			time.Sleep(12 * minute)
		}
		if n := f.backend.Rejected(); n != 0 {
			t.Errorf("%d calls were rejected", n)
		}
		f.alive(t)
	})
}

// For servers that do not forget tokens, the manager alone will do.
func TestManagerIsPerRPCCredentials(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		f.account = authpb.NewAccountClient(f.connect(t, grpc.WithPerRPCCredentials(f.Manager)))
		for range 3 {
			if err := errors.Join(f.whoami(t.Context()), f.watch(t.Context()), f.upload(t.Context())); err != nil {
				t.Error(err)
			}
			time.Sleep(12 * minute)
		}
		f.alive(t)
	})
}

func TestRejectedCallIsMadeOnceMore(t *testing.T) {
	for _, name := range []string{"unary", "server stream"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
				f.backend.ExpireAccess("alice")
				if err := calls(f)[name](t.Context()); err != nil {
					t.Errorf("%v; want the second try to succeed", err)
				}
				if rejected, n := f.backend.Rejected(), f.refreshes(); rejected != 1 || n != 1 {
					t.Errorf("%d rejections, %d refreshes; want 1, 1", rejected, n)
				}
				f.alive(t)
			})
		})
	}
}

// Whatever metadata carries the token, a rejection is one.
func TestRejectedCallIsMadeOnceMoreWhereTheTokenHasAHeaderOfItsOwn(t *testing.T) {
	for _, name := range []string{"unary", "server stream"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
				f.Stop()
				f.Manager = refresh.NewManager(refresh.Config{
					OAuthClient: newClient(f.connect(t)), Store: f.store, Presentation: oauth.Presentation{Header: "X-Token"},
				})
				t.Cleanup(f.Manager.Stop)
				if err := f.Start(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				f.account = authpb.NewAccountClient(f.connect(t, authclient.Carry(f.Manager)...))
				if err := calls(f)[name](t.Context()); err != nil || f.backend.Rejected() != 0 {
					t.Fatalf("%v, %d rejections", err, f.backend.Rejected())
				}
				f.backend.ExpireAccess("alice")
				if err := calls(f)[name](t.Context()); err != nil {
					t.Errorf("%v; want the second try to succeed", err)
				}
				if rejected, n := f.backend.Rejected(), f.refreshes(); rejected != 1 || n != 1 {
					t.Errorf("%d rejections, %d refreshes; want 1, 1", rejected, n)
				}
				f.alive(t)
			})
		})
	}
}

func TestRejectedCallsShareOneRefresh(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		f.backend.ExpireAccess("alice")
		var all sync.WaitGroup
		for i := range 60 {
			call := f.whoami
			if i%2 == 0 {
				call = f.watch
			}
			all.Go(func() {
				if err := call(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := f.refreshes(); n != 1 {
			t.Errorf("%d refreshes; want 1", n)
		}
		f.alive(t)
	})
}

// A server that takes no token at all must not cost a refresh for each call.
func TestServerThatRejectsEverythingCostsOneRefresh(t *testing.T) {
	for _, name := range []string{"unary", "server stream"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
				f.backend.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 401, Times: -1})
				for range 20 {
					if err := calls(f)[name](t.Context()); status.Code(err) != codes.Unauthenticated {
						t.Errorf("%v; want the server's word", err)
					}
				}
				if n, asked := f.refreshes(), f.backend.Requests(oauthtest.ResourceEndpoint); n != 1 || asked != 21 {
					t.Errorf("%d refreshes, %d calls; want 1, 21", n, asked)
				}
				f.backend.ClearScript()
				f.alive(t)
			})
		})
	}
}

func TestRejectedCallInAnOutageFailsAtOnceAndKeepsTheSession(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		f.script(oauthtest.Fault{Status: 500, Times: -1})
		f.backend.ExpireAccess("alice")
		for range 20 {
			if err := f.whoami(t.Context()); status.Code(err) != codes.Unauthenticated {
				t.Errorf("%v; want the server's word", err)
			}
		}
		if n := f.refreshes(); n != 1 {
			t.Errorf("%d requests; want 1", n)
		}
		f.backend.ClearScript()
		time.Sleep(minute)
		f.alive(t)
	})
}

func TestStreamThatCannotBeRepeatedHelpsTheNextCall(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		f.backend.ExpireAccess("alice")
		f.script(oauthtest.Fault{Delay: 5 * time.Second})
		begun := time.Now()
		if err := f.upload(t.Context()); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%v; want the server's word", err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it waited %v for a refresh that is of no use to it", took)
		}
		time.Sleep(10 * time.Second)
		if n := f.refreshes(); n != 1 {
			t.Errorf("%d refreshes; want 1", n)
		}
		if err := f.upload(t.Context()); err != nil {
			t.Error(err)
		}
		f.alive(t)
	})
}

func TestStreamIsNotRepeatedAfterAMessage(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		stream, err := f.account.Watch(t.Context(), &authpb.WatchRequest{Times: 5})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		f.backend.ExpireAccess("alice")
		if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%v; want the server's word", err)
		}
		synctest.Wait()
		if n := f.refreshes(); n != 1 {
			t.Errorf("%d refreshes; want 1", n)
		}
		f.alive(t)
	})
}

func TestStreamWithATokenThatWasRenewedMeanwhileCostsNoRefresh(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		stream, err := f.account.Watch(t.Context(), &authpb.WatchRequest{Times: 5})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		f.backend.ExpireAccess("alice")
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%v; want the server's word", err)
		}
		synctest.Wait()
		if n := f.refreshes(); n != 1 {
			t.Errorf("%d refreshes; want the forced one alone", n)
		}
		f.alive(t)
	})
}

func TestRepeatWithATokenOfSomebodyElsesRefreshIsTheLast(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		f.backend.Script(oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: 401, Times: -1})
		stream, err := f.account.Watch(t.Context(), &authpb.WatchRequest{Times: 5})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.ForceRefresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%v; want the server's word", err)
		}
		if n, asked := f.refreshes(), f.backend.Requests(oauthtest.ResourceEndpoint); n != 1 || asked != 2 {
			t.Errorf("%d refreshes, %d calls; want 1, 2", n, asked)
		}
		f.backend.ClearScript()
		f.alive(t)
	})
}

func TestCallWithoutATokenIsNotSentAndTellsWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		trouble func(f *fixture)
		code    codes.Code
		want    error
	}{
		"session ended": {func(f *fixture) { f.backend.RevokeAll("alice") }, codes.Unauthenticated, oauth.ErrLoginRequired},
		"outage":        {func(f *fixture) { f.script(oauthtest.Fault{Status: 500, Times: -1}) }, codes.Unavailable, oauth.ErrTransient},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
				tt.trouble(f)
				time.Sleep(16 * minute)
				for name, call := range map[string]func(context.Context) error{"unary": f.whoami, "server stream": f.watch, "client stream": f.upload} {
					if err := call(t.Context()); status.Code(err) != tt.code || !errors.Is(err, tt.want) {
						t.Errorf("%s: %v; want %v and %q", name, err, tt.code, tt.want)
					}
				}
				if n := f.backend.Requests(oauthtest.ResourceEndpoint); n != 0 {
					t.Errorf("%d calls were sent", n)
				}
				f.clean(t)
			})
		})
	}
}

func TestCarriedTokensTravelOverTLSOnly(t *testing.T) {
	bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
		plain := newPlainServer(t)
		f.account = authpb.NewAccountClient(plain.connect(t, authclient.Carry(f.Manager)...))
		if err := f.whoami(t.Context()); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%v; want a refusal by gRPC itself", err)
		}
		if err := f.watch(t.Context()); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%v; want a refusal by gRPC itself", err)
		}
		if n := plain.calls.Load() + int32(f.refreshes()); n != 0 {
			t.Errorf("%d calls and refreshes; want none", n)
		}
		f.clean(t)
	})
}

// Another process has renewed, which ended our token, and the server has other codes
// for that than Unauthenticated.
func TestF72_CallWithATokenThatASiblingHasEnded(t *testing.T) {
	for _, code := range []int{401, 403, 400} {
		for _, name := range []string{"unary", "server stream"} {
			t.Run(fmt.Sprint(name, ", ", code), func(t *testing.T) {
				bubble(t, oauthtest.Config{}, func(t *testing.T, f *fixture) {
					sibling := refresh.NewManager(refresh.Config{OAuthClient: f.auth, Store: f.store})
					if err := sibling.Start(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
					defer sibling.Stop()
					synctest.Wait()
					refused := oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: code}
					if code != 401 { // which would renew
						f.backend.Script(refused)
						if err := calls(f)[name](t.Context()); err == nil {
							t.Error("nothing is newer, and the refusal was passed over")
						}
					}
					time.Sleep(2 * time.Second)
					if err := sibling.ForceRefresh(t.Context()); err != nil {
						t.Fatal(err)
					}
					before := f.refreshes()
					f.backend.Script(refused)
					if err := calls(f)[name](t.Context()); err != nil {
						t.Errorf("%v; want the second try to succeed", err)
					}
					if n := f.refreshes() - before; n != 0 {
						t.Errorf("%d refreshes; want none", n)
					}
					f.alive(t)
				})
			})
		}
	}
}
