// Package authclient is how a program keeps its session alive at a backend that
// gives out tokens by gRPC: a [Client] is the refresh.Refresher for it, and
// [Carry] puts the manager's tokens on the program's other calls.
//
//	auth := authclient.New(authConn, "")
//	manager := refresh.NewManager(refresh.Config{OAuthClient: auth, Store: store})
//	…
//	conn, err := grpc.NewClient(target, append(authclient.Carry(manager), grpc.WithTransportCredentials(tls))...)
//
// The two connections are not the same: a refresh on a connection that carries
// the manager's tokens would wait for itself.
package authclient

import (
	"context"
	"sync"
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
	stub     authpb.AuthClient
	target   string
	deviceID string

	mu        sync.Mutex // guards notBefore
	notBefore time.Time  // the server wants no refreshes until then
}

// New returns a client on conn, which must be secured by TLS and carry no
// credentials. deviceID tells the server which of a person's devices this is; it
// may be empty.
func New(conn *grpc.ClientConn, deviceID string) *Client {
	return &Client{stub: authpb.NewAuthClient(conn), target: conn.Target(), deviceID: deviceID}
}

// Login trades a person's name and password for tokens. Neither is kept. Errors
// are of type *oauth.Error; a wrong password matches oauth.ErrLoginRequired.
func (c *Client) Login(ctx context.Context, username, password string) (*oauth.TokenPair, error) {
	sent, once := time.Now(), new(once)
	reply, err := c.stub.Login(ctx, &authpb.LoginRequest{Username: username, Password: password, DeviceId: c.device()}, once.options()...)
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
// the closed list, in an ErrorInfo, with the status that belongs to it. After an
// answer with RetryInfo, further refreshes by this Client fail with
// oauth.ErrTransient until then, without a call.
func (c *Client) Refresh(ctx context.Context, t *oauth.TokenPair) (*oauth.TokenPair, error) {
	if t == nil || t.RefreshToken == "" {
		return nil, &oauth.Error{Op: opRefresh, Kind: oauth.ErrLoginRequired, Err: oauth.ErrRefreshTokenRequired}
	}
	if until := c.waitUntil(); !until.IsZero() {
		return nil, &oauth.Error{Op: opRefresh, Kind: oauth.ErrTransient, RetryAt: until, Hint: "the server asked to wait"}
	}
	sent, once := time.Now(), new(once)
	reply, err := c.stub.RefreshToken(ctx, &authpb.RefreshTokenRequest{RefreshToken: t.RefreshToken, DeviceId: c.device()}, once.options()...)
	if err != nil {
		fail := once.judge(opRefresh, err)
		c.rememberWait(fail.RetryAt)
		return nil, fail
	}
	next, err := readPair(opRefresh, reply, sent)
	if err != nil {
		return nil, err
	}
	return next.Keeping(t), nil
}

// CanRevoke is true: the backend has a logout.
func (c *Client) CanRevoke() bool { return true }

// Revoke logs out. That the session is over already counts as success; other
// errors are of type *oauth.Error, and mean that it still lives.
func (c *Client) Revoke(ctx context.Context, t *oauth.TokenPair) error {
	once := new(once)
	_, err := c.stub.Logout(ctx, &authpb.LogoutRequest{RefreshToken: t.RefreshToken}, once.options()...)
	if err == nil {
		return nil
	}
	if fail := once.judge(opRevoke, err); fail.Kind != oauth.ErrLoginRequired {
		return fail
	}
	return nil
}

// ConfigID identifies what the server can see of the configuration.
func (c *Client) ConfigID() string { return c.target + " " + c.deviceID }

func (c *Client) device() *string {
	if c.deviceID == "" {
		return nil
	}
	return &c.deviceID
}

// waitUntil returns until when the server wants no refreshes, or zero.
func (c *Client) waitUntil() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !time.Now().Before(c.notBefore) {
		return time.Time{}
	}
	return c.notBefore
}

// rememberWait keeps the server's wish to be left alone, which concerns all of
// its sessions.
func (c *Client) rememberWait(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until.After(c.notBefore) {
		c.notBefore = until
	}
}

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
