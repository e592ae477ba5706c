package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/evertoken/evertoken/examples/grpc/authclient"
	"github.com/evertoken/evertoken/examples/grpc/authpb"
	"github.com/evertoken/evertoken/examples/grpc/server"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

const (
	tokenLife = 4 * time.Second        // so that a story has several expiries
	pace      = 500 * time.Millisecond // between two calls
)

// A story is a server, a session on it, and the client that uses it.
type story struct {
	begun   time.Time
	backend *oauthtest.Server
	host    *server.Host
	manager *refresh.Manager
	account authpb.AccountClient
	conns   []*grpc.ClientConn

	served, failed int

	mu sync.Mutex // guards w: the manager tells its part from another goroutine
	w  io.Writer
}

// newStory logs alice in.
func newStory(ctx context.Context, w io.Writer) (*story, error) {
	s := &story{begun: time.Now(), w: w}
	s.backend = oauthtest.New(oauthtest.Config{JWTRefreshTokens: true, AccessTokenLifetime: tokenLife})
	var err error
	if s.host, err = server.NewHost(s.backend); err != nil {
		return nil, err
	}
	if err := s.logIn(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *story) logIn(ctx context.Context) error {
	authConn, err := s.connect()
	if err != nil {
		return err
	}
	auth := authclient.New(authConn, authclient.CallsOf(authpb.NewAuthClient(authConn)), "demo")
	s.manager = refresh.NewManager(refresh.Config{
		OAuthClient:   auth,
		Store:         new(tokenstore.Memory),
		CheckInterval: tokenLife / 4, // all is faster here than in life
		OnEvent:       s.hear,
	})
	pair, err := auth.Login(ctx, oauthtest.DefaultUser, oauthtest.DefaultPassword)
	if err != nil {
		return err
	}
	s.tell("logged in; access tokens live %v", tokenLife)
	if err := s.manager.Start(ctx, pair); err != nil {
		return err
	}
	conn, err := s.connect(authclient.Carry(s.manager)...)
	if err != nil {
		return err
	}
	s.account = authpb.NewAccountClient(conn)
	return nil
}

// connect opens a connection that lives as long as the story.
func (s *story) connect(opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	conn, err := s.host.Connect(opts...)
	if err == nil {
		s.conns = append(s.conns, conn)
	}
	return conn, err
}

func (s *story) close() {
	if s.manager != nil {
		s.manager.Stop()
	}
	for _, conn := range s.conns {
		conn.Close()
	}
	s.host.Down()
}

// hear tells what the manager does.
func (s *story) hear(e refresh.Event) {
	switch e.Kind {
	case refresh.EventRefreshed:
		s.tell("refreshed")
	case refresh.EventRefreshFailed:
		s.tell("refresh failed, nothing is lost: %v", e.Err)
	case refresh.EventSuspected:
		s.tell("the session has perhaps ended: %v", e.Err)
	case refresh.EventLoginRequired:
		s.tell("the session has ended: %v", e.Err)
	}
}

func (s *story) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, "%5.1fs  %s\n", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
}

// call asks the server who is calling, again and again for a while.
func (s *story) call(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if _, err := s.account.Whoami(ctx, new(authpb.WhoamiRequest)); err != nil {
			s.failed++
		} else {
			s.served++
		}
		if err := sleep(ctx, pace); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) expiries(ctx context.Context) error { return s.call(ctx, 2*tokenLife) }

func (s *story) outage(ctx context.Context) error {
	s.tell("the server goes down")
	s.host.Down()
	if err := s.call(ctx, tokenLife); err != nil {
		return err
	}
	s.tell("the server is back; %d calls have failed", s.failed)
	s.host.Up()
	return s.call(ctx, tokenLife)
}

// forgotten is what a restart with new signing keys does to access tokens.
func (s *story) forgotten(ctx context.Context) error {
	s.tell("the server forgets its access tokens")
	s.backend.ExpireAccess(oauthtest.DefaultUser)
	return s.call(ctx, 2*pace)
}

func (s *story) stream(ctx context.Context) error {
	s.backend.ExpireAccess(oauthtest.DefaultUser)
	s.tell("and again, before a stream")
	stream, err := s.account.Watch(ctx, &authpb.WatchRequest{Times: 3})
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			s.tell("the stream has brought %d messages", n)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// end sums up and logs out.
func (s *story) end(ctx context.Context) error {
	mistakes, alive := s.backend.Audit(), s.backend.Sessions(oauthtest.DefaultUser)
	s.tell("%d calls served, %d failed in the outage, %d refreshes, %d mistakes with refresh tokens",
		s.served, s.failed, s.backend.Requests(oauthtest.KratosBackend.RefreshEndpoint()), len(mistakes))
	if len(mistakes) > 0 || alive != 1 {
		return errors.New("the session was not kept as it should be")
	}
	if err := s.manager.Logout(ctx); err != nil {
		return err
	}
	s.tell("logged out")
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
