package authclient

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
)

// Carry returns what makes the calls on a connection carry m's tokens, over TLS
// only. grpc.WithPerRPCCredentials(m) does that too; the difference is what
// happens when the server takes a token for dead that lives by its own account.
//
// A call that is answered with Unauthenticated is made once more, with the token
// that m has got in place of the rejected one. So it is after PermissionDenied or
// InvalidArgument, if another process or caller has renewed the token: m does not renew it
// for those. So is a stream, if the client sends
// a single message and has received none. Of the others m is told, so that the
// next call has a better token. If there is none, or the server rejects that one
// too, the caller gets the server's word, and for a check interval no rejection
// leads to a refresh: the token was not the reason.
//
// If no token can be had, the call is not sent. The error then is the manager's
// (errors.Is with oauth.ErrLoginRequired and the like), with the code
// Unauthenticated if a login is required, else Unavailable.
func Carry(m *refresh.Manager) []grpc.DialOption {
	c := carrier{m}
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(c.unary), grpc.WithChainStreamInterceptor(c.stream)}
}

type carrier struct{ manager *refresh.Manager }

// unary is a grpc.UnaryClientInterceptor.
func (c carrier) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	call := func(creds *callCreds) error {
		return creds.explain(invoke(ctx, method, req, reply, cc, creds.with(opts)...))
	}
	creds := &callCreds{Manager: c.manager}
	err := call(creds)
	if creds.refusal(err) == 0 {
		return err
	}
	return c.again(ctx, creds, err, call)
}

// stream is a grpc.StreamClientInterceptor.
func (c carrier) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s := &carriedStream{
		carrier: c, ctx: ctx, creds: &callCreds{Manager: c.manager}, repeatable: !desc.ClientStreams,
		open: func(creds *callCreds) (grpc.ClientStream, error) {
			stream, err := open(ctx, desc, cc, method, creds.with(opts)...)
			return stream, creds.explain(err)
		},
	}
	var err error
	if s.ClientStream, err = s.open(s.creds); err != nil {
		return nil, err
	}
	return s, nil
}

// A carriedStream is a stream that carries a token. Until the first RecvMsg has
// returned, its methods must be called from one goroutine at a time.
type carriedStream struct {
	grpc.ClientStream
	carrier    carrier
	ctx        context.Context
	open       func(*callCreds) (grpc.ClientStream, error)
	creds      *callCreds
	repeatable bool // the client sends one message, and has received none
	sent       any  // that message
}

func (s *carriedStream) SendMsg(m any) error {
	if s.repeatable {
		s.sent = m
	}
	return s.ClientStream.SendMsg(m)
}

func (s *carriedStream) RecvMsg(m any) error {
	err := s.creds.explain(s.ClientStream.RecvMsg(m))
	if s.creds.refusal(err) == 0 {
		s.repeatable, s.sent = false, nil
		return err
	}
	repeat := func(creds *callCreds) error { return s.repeat(creds, m) }
	if !s.repeatable {
		repeat = nil
	}
	s.repeatable = false
	return s.carrier.again(s.ctx, s.creds, err, repeat)
}

// repeat goes on with a new stream.
func (s *carriedStream) repeat(creds *callCreds, m any) error {
	stream, err := s.open(creds)
	if err != nil {
		return err
	}
	s.ClientStream, s.creds = stream, creds
	// io.EOF says that the stream has ended, and RecvMsg how.
	_ = stream.SendMsg(s.sent)
	_ = stream.CloseSend()
	return creds.explain(stream.RecvMsg(m))
}

// callCreds are a manager's credentials for one call, which remember what they
// have given, and for where. They override only that: TLS is required, and the token goes
// to the manager's origins.
type callCreds struct {
	*refresh.Manager

	mu      sync.Mutex        // guards what follows
	target  string            // where the call goes, as gRPC has told it
	carries map[string]string // the metadata with the token, as Config.Presentation has it
	err     error             // why there is none
}

func (c *callCreds) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	md, err := c.Manager.GetRequestMetadata(ctx, uri...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.carries, c.err = md, err
	if len(uri) > 0 {
		c.target = uri[0]
	}
	return md, err
}

func (c *callCreds) with(opts []grpc.CallOption) []grpc.CallOption {
	return append(opts[:len(opts):len(opts)], grpc.PerRPCCredentials(c))
}

// carried returns the metadata that carries the token, which is not modified.
func (c *callCreds) carried() (md map[string]string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.carries, c.err
}

func (c *callCreds) uri() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.target
}

// refusal returns the HTTP status that says of the token what err does, or zero if that
// says nothing.
func (c *callCreds) refusal(err error) int {
	if md, _ := c.carried(); len(md) == 0 {
		return 0
	}
	switch status.Code(err) {
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.InvalidArgument:
		return http.StatusBadRequest
	}
	return 0
}

// explain returns err, or in its place why the call got no token: gRPC keeps
// only the text of that.
func (c *callCreds) explain(err error) error {
	if _, cause := c.carried(); cause != nil && err != nil {
		return noToken{cause}
	}
	return err
}

// noToken is the error of a call for which no token could be had.
type noToken struct{ cause error }

func (e noToken) Error() string { return "no token for the call: " + e.cause.Error() }

func (e noToken) Unwrap() error { return e.cause }

// GRPCStatus makes status.Code and its like work.
func (e noToken) GRPCStatus() *status.Status {
	if errors.Is(e.cause, oauth.ErrLoginRequired) {
		return status.New(codes.Unauthenticated, e.Error())
	}
	return status.New(codes.Unavailable, e.Error())
}
