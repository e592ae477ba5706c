// Package authclient is how a program keeps its session alive at a backend that
// gives out tokens by gRPC: a [Client] is the refresh.Refresher for it, and
// [Carry] puts the manager's tokens on the program's other calls.
//
//	auth := authclient.New(authConn, authclient.CallsOf(authpb.NewAuthClient(authConn)), "")
//	manager := refresh.NewManager(refresh.Config{OAuthClient: auth, Store: store})
//	…
//	conn, err := grpc.NewClient(target, append(authclient.Carry(manager), grpc.WithTransportCredentials(tls))...)
//
// The two connections are not the same: a refresh on a connection that carries
// the manager's tokens would wait for itself.
//
// The service is the one of package authpb, or any other that gives out tokens. [CallsAt] is
// for one that differs in its full name alone, such as api.auth.v1.Auth. For all others
// [Calls] are three functions, each a few lines around the client that protoc has made of the
// backend's own proto file. A client for the wrong service gets Unimplemented, which is
// oauth.ErrMisconfigured. The proto file here has a path and a package that no program of its
// own has, so that both can be in one program.
package authclient

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/evertoken/evertoken/examples/grpc/authpb"
	"github.com/evertoken/evertoken/oauth"
)

const (
	opLogin   = "login"
	opRefresh = "refresh"
	opRevoke  = "revoke"
)

// A Client logs in, renews tokens and logs out by gRPC. It is a
// refresh.Refresher. Safe for concurrent use.
type Client struct {
	calls    Calls
	target   string
	deviceID string
}

// Calls are a backend's calls. Each is made once, with the options that it gets, and on
// the connection that New gets.
type Calls struct {
	// Login trades a name and a password for tokens. Nil: there is none.
	Login func(ctx context.Context, username, password, deviceID string, opts ...grpc.CallOption) (Reply, error)
	// Refresh trades a refresh token for new ones. Required.
	Refresh func(ctx context.Context, refreshToken, deviceID string, opts ...grpc.CallOption) (Reply, error)
	// Logout ends the session that a refresh token belongs to. Its metadata has the
	// access token, which many backends ask for. Nil: there is none.
	Logout func(ctx context.Context, refreshToken string, opts ...grpc.CallOption) error
}

// A Reply is what protoc makes of a message with tokens. Where the fields have other
// names, a type with these methods stands around it.
type Reply interface {
	GetAccessToken() string
	GetRefreshToken() string // empty: the one there is stays
	GetExpiresIn() int64     // in seconds; 0: not told
}

// CallsOf returns the calls of the service of package authpb.
func CallsOf(stub authpb.AuthClient) Calls {
	return Calls{
		Login: func(ctx context.Context, username, password, deviceID string, opts ...grpc.CallOption) (Reply, error) {
			return stub.Login(ctx, &authpb.LoginRequest{Username: username, Password: password, DeviceId: optional(deviceID)}, opts...)
		},
		Refresh: func(ctx context.Context, refreshToken, deviceID string, opts ...grpc.CallOption) (Reply, error) {
			return stub.RefreshToken(ctx, &authpb.RefreshTokenRequest{RefreshToken: refreshToken, DeviceId: optional(deviceID)}, opts...)
		},
		Logout: func(ctx context.Context, refreshToken string, opts ...grpc.CallOption) error {
			_, err := stub.Logout(ctx, &authpb.LogoutRequest{RefreshToken: refreshToken}, opts...)
			return err
		},
	}
}

// CallsAt returns the calls of a service that is like that of package authpb but for its
// full name, such as api.auth.v1.Auth: its messages have the same fields under the same
// numbers. It needs no code that protoc has made of the service's own proto file.
func CallsAt(conn grpc.ClientConnInterface, service string) Calls {
	return CallsOf(authpb.NewAuthClient(renamed{conn, service}))
}

// renamed is a connection to a service of another name.
type renamed struct {
	grpc.ClientConnInterface
	service string
}

func (r renamed) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	return r.ClientConnInterface.Invoke(ctx, "/"+r.service+method[strings.LastIndexByte(method, '/'):], in, out, opts...)
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// New returns a client for the calls on conn, which must be secured by TLS and carry no
// credentials. deviceID tells the server which of a person's devices this is; it
// may be empty. Where a refresh token that is sent twice ends all of a person's sessions, set
// refresh.Config.Grace to oauth.GraceNone.
func New(conn *grpc.ClientConn, calls Calls, deviceID string) *Client {
	return &Client{calls: calls, target: conn.Target(), deviceID: deviceID}
}

// Login trades a person's name and password for tokens. Neither is kept. Errors
// are of type *oauth.Error; a wrong password matches oauth.ErrLoginRequired.
func (c *Client) Login(ctx context.Context, username, password string) (*oauth.TokenPair, error) {
	if c.calls.Login == nil {
		return nil, missing(opLogin)
	}
	sent, once := time.Now(), new(once)
	reply, err := c.calls.Login(ctx, username, password, c.deviceID, once.options()...)
	if err != nil {
		return nil, once.judge(opLogin, err)
	}
	return readPair(opLogin, reply, sent)
}

// Refresh trades t's refresh token for a new pair, and keeps of t what the answer
// omits. It sends the refresh token once, whatever the connection's retry policy
// says. t is not modified.
//
// Errors are of type *oauth.Error: oauth.ErrLoginRequired only for a reason of
// the closed list, in an ErrorInfo, with the status that belongs to it.
func (c *Client) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	if t == nil || t.RefreshToken == "" {
		return nil, &oauth.Error{Op: opRefresh, Kind: oauth.ErrLoginRequired, Err: oauth.ErrRefreshTokenRequired}
	}
	if c.calls.Refresh == nil {
		return nil, missing(opRefresh)
	}
	sent, once := time.Now(), new(once)
	reply, err := c.calls.Refresh(ctx, t.RefreshToken, c.deviceID, once.options()...)
	if err != nil {
		return nil, once.judge(opRefresh, err)
	}
	next, err := readPair(opRefresh, reply, sent)
	if err != nil {
		return nil, err
	}
	return next.Keeping(t), nil
}

// missing is the error of a call that the backend does not have.
func missing(op string) *oauth.Error {
	return &oauth.Error{Op: op, Kind: oauth.ErrMisconfigured, Err: errors.New("authclient.Calls has no such call")}
}

// CanRevoke reports whether the backend has a logout.
func (c *Client) CanRevoke() bool { return c.calls.Logout != nil }

// Revoke logs out. That the session is over already counts as success; other
// errors are of type *oauth.Error, and mean that it still lives. Where the access token
// may be dead, a refusal can be about that one, and counts as none: then refresh first.
func (c *Client) Revoke(ctx context.Context, t *oauth.TokenPair) error {
	if c.calls.Logout == nil {
		return missing(opRevoke)
	}
	if t == nil {
		return &oauth.Error{Op: opRevoke, Kind: oauth.ErrMisconfigured, Err: errors.New("there is no token to revoke")}
	}
	once := new(once)
	if t.AccessToken != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+t.AccessToken)
	}
	err := c.calls.Logout(ctx, t.RefreshToken, once.options()...)
	if err == nil {
		return nil
	}
	fail := once.judge(opRevoke, err)
	switch {
	case fail.Kind != oauth.ErrLoginRequired:
		return fail
	case t.AccessToken != "" && !time.Now().Before(t.ExpiresAt):
		fail.Kind, fail.Hint = oauth.ErrTransient, "the backend may want an access token that lives for a logout: refresh first"
		return fail
	}
	return nil
}

// ConfigID identifies what the server can see of the configuration.
func (c *Client) ConfigID() string { return c.target + " " + c.deviceID }

// once makes a call go out once at most, over TLS, and notes what became of it.
type once struct {
	peer    peer.Peer
	trailer metadata.MD
}

func (o *once) options() []grpc.CallOption {
	return []grpc.CallOption{
		grpc.Peer(&o.peer),
		grpc.Trailer(&o.trailer),
		// A call that is not buffered cannot be sent again, by whatever policy. The
		// manager decides about that: it knows what a second spend means.
		grpc.MaxRetryRPCBufferSize(0),
		grpc.PerRPCCredentials(nothingButTLS{}),
	}
}

func (o *once) judge(op string, err error) *oauth.Error {
	return judge(outcome{
		op: op, err: err, now: time.Now(),
		// The peer is known as soon as the call has a stream on a connection.
		sent: o.peer.Addr != nil,
		// Even a trailer without a word of its own has a content type, unless headers
		// came before it. Those that gRPC makes up for a lost connection, or for the
		// web page of a proxy, are empty.
		answered: len(o.trailer) > 0,
	})
}

// nothingButTLS are credentials that say nothing, and want TLS for it: gRPC sends
// no message on a connection that is not secure enough for them.
type nothingButTLS struct{}

func (nothingButTLS) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return nil, nil
}

func (nothingButTLS) RequireTransportSecurity() bool { return true }
