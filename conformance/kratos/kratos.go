// Package kratos is a backend on github.com/go-kratos/kratos, a framework that the
// Evertoken project did not write, over HTTP and gRPC at once: by its own routers, codecs,
// encoders of answers and errors, and servers. What a team writes itself stands here: who
// may log in, tokens that rotate, and reuse that ends all of a person's sessions.
package kratos

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	nethttp "net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/metadata"
	mmd "github.com/go-kratos/kratos/v2/middleware/metadata"
	"github.com/go-kratos/kratos/v2/transport"
	"github.com/go-kratos/kratos/v2/transport/grpc"
	"github.com/go-kratos/kratos/v2/transport/http"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/evertoken/evertoken/examples/grpc/authpb"
)

// Options are what teams choose.
type Options struct {
	ProtoNames   bool // UseProtoNames: access_token and not accessToken
	NestedErrors bool // an ErrorEncoder that writes {"error":{…}}
	// RefreshError: the switch over the reasons for a refusal has no case for any, as in a
	// documented backend: 500 REFRESH_ERROR.
	RefreshError bool
}

// Life is how long access tokens live.
const Life = 15 * time.Minute

// A Backend knows alice, whose password is wonderland.
type Backend struct {
	authpb.UnimplementedAuthServer
	options Options

	mu      sync.Mutex           // guards what follows
	live    map[string]string    // user by refresh token
	spent   map[string]string    // the same
	ended   map[string]time.Time // when a refresh token ends, if it does
	gone    bool                 // alice's account is
	Devices []string             // that logged in or refreshed
	Reused  int
	Spends  int
}

// New returns a backend without sessions.
func New(o Options) *Backend {
	return &Backend{options: o, live: make(map[string]string), spent: make(map[string]string), ended: make(map[string]time.Time)}
}

var key = []byte("no secret: a server for tests")

// pair returns new tokens. The caller holds mu.
func (b *Backend) pair(user string) (access, refresh string) {
	access, _ = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"user": user, "exp": time.Now().Add(Life).Unix()}).SignedString(key)
	refresh = rand.Text()
	b.live[refresh] = user
	return access, refresh
}

// Login implements authpb.AuthServer.
func (b *Backend) Login(_ context.Context, in *authpb.LoginRequest) (*authpb.LoginReply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case in.GetUsername() != "alice":
		return nil, errors.NotFound("USER_NOT_FOUND", "no such user")
	case in.GetPassword() != "wonderland":
		return nil, errors.Unauthorized("INVALID_CREDENTIALS", "wrong password")
	}
	b.Devices = append(b.Devices, in.GetDeviceId())
	access, refresh := b.pair(in.GetUsername())
	return &authpb.LoginReply{AccessToken: access, RefreshToken: refresh, ExpiresIn: int64(Life / time.Second)}, nil
}

// RefreshToken implements authpb.AuthServer.
func (b *Backend) RefreshToken(_ context.Context, in *authpb.RefreshTokenRequest) (*authpb.RefreshTokenReply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refuse(in.GetRefreshToken()); err != nil {
		if b.options.RefreshError {
			return nil, errors.InternalServer("REFRESH_ERROR", "refresh failed")
		}
		return nil, err
	}
	b.Spends++
	b.Devices = append(b.Devices, in.GetDeviceId())
	user := b.live[in.GetRefreshToken()]
	delete(b.live, in.GetRefreshToken())
	b.spent[in.GetRefreshToken()] = user
	access, refresh := b.pair(user)
	return &authpb.RefreshTokenReply{AccessToken: access, RefreshToken: refresh, ExpiresIn: int64(Life / time.Second)}, nil
}

// refuse returns what is wrong with a refresh token. The caller holds mu.
func (b *Backend) refuse(token string) error {
	user, spent := b.spent[token]
	_, live := b.live[token]
	switch end, ends := b.ended[token]; {
	case token == "":
		return errors.BadRequest("REFRESH_TOKEN_REQUIRED", "no refresh token")
	case b.gone && (live || spent):
		return errors.NotFound("USER_NOT_FOUND", "no such user")
	case spent:
		b.Reused++
		b.endAll(user)
		return errors.Unauthorized("TOKEN_REUSED", "the token was used before")
	case ends && !time.Now().Before(end):
		return errors.Unauthorized("TOKEN_EXPIRED", "the token has expired")
	case !live:
		return errors.Unauthorized("TOKEN_INVALID", "no such token")
	}
	return nil
}

// endAll ends all of a user's sessions. The caller holds mu.
func (b *Backend) endAll(user string) {
	maps.DeleteFunc(b.live, func(_, owner string) bool { return owner == user })
}

// Logout implements authpb.AuthServer. Like every call but the two above it wants an
// access token. Without a refresh token it ends all sessions of the caller's.
func (b *Backend) Logout(ctx context.Context, in *authpb.LogoutRequest) (*authpb.LogoutReply, error) {
	user, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.live, in.GetRefreshToken())
	if in.GetRefreshToken() == "" {
		b.endAll(user)
	}
	return new(authpb.LogoutReply), nil
}

// caller returns whose access token the call carries.
func caller(ctx context.Context) (string, error) {
	var header string
	if tr, found := transport.FromServerContext(ctx); found {
		header = tr.RequestHeader().Get("Authorization")
	}
	if md, found := metadata.FromServerContext(ctx); found && header == "" {
		header = md.Get("authorization")
	}
	token, bearer := strings.CutPrefix(header, "Bearer ")
	if !bearer {
		return "", errors.Unauthorized("TOKEN_MISSING", "no access token")
	}
	var claims struct {
		jwt.RegisteredClaims
		User string `json:"user"`
	}
	if _, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
		return "", errors.Unauthorized("TOKEN_EXPIRED", "the access token is not valid")
	}
	return claims.User, nil
}

// Sessions returns how many there are.
func (b *Backend) Sessions() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.live)
}

// Edit changes what the backend knows.
func (b *Backend) Edit(f func(b *Backend)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

// Expire makes a refresh token end now. The caller is in Edit.
func (b *Backend) Expire(token string) { b.ended[token] = time.Now() }

// RemoveUser makes alice's account go. The caller is in Edit.
func (b *Backend) RemoveUser() { b.gone = true }

// Forget is a restart: sessions are in memory. The caller is in Edit.
func (b *Backend) Forget() { clear(b.live) }

// HTTP returns the backend by HTTP, with routes as protoc-gen-go-http makes them.
func (b *Backend) HTTP() nethttp.Handler {
	options := []http.ServerOption{http.Middleware(mmd.Server()), http.Timeout(0)}
	if b.options.ProtoNames {
		options = append(options, http.ResponseEncoder(func(w http.ResponseWriter, r *http.Request, v any) error {
			if m, ok := v.(proto.Message); ok {
				data, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
				if err != nil {
					return err
				}
				w.Header().Set("Content-Type", "application/json")
				_, err = w.Write(data)
				return err
			}
			return http.DefaultResponseEncoder(w, r, v)
		}))
	}
	if b.options.NestedErrors {
		options = append(options, http.ErrorEncoder(func(w http.ResponseWriter, _ *http.Request, err error) {
			e := errors.FromError(err)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(int(e.Code))
			_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": e.Code, "reason": e.Reason, "message": e.Message}})
		}))
	}
	server := http.NewServer(options...)
	r := server.Route("/api/v1")
	r.POST("/auth/login", route("/auth.v1.Auth/Login", b.Login))
	r.POST("/auth/refresh", route("/auth.v1.Auth/RefreshToken", b.RefreshToken))
	r.POST("/auth/logout", route("/auth.v1.Auth/Logout", b.Logout))
	r.GET("/me", func(ctx http.Context) error {
		user, err := caller(ctx)
		if err != nil {
			return err
		}
		return ctx.JSON(nethttp.StatusOK, map[string]string{"user": user})
	})
	return server
}

// route is what protoc-gen-go-http makes of a method with body: "*".
func route[In, Out any](operation string, call func(context.Context, *In) (*Out, error)) http.HandlerFunc {
	return func(ctx http.Context) error {
		in := new(In)
		if err := ctx.Bind(in); err != nil {
			return err
		}
		if err := ctx.BindQuery(in); err != nil {
			return err
		}
		http.SetOperation(ctx, operation)
		h := ctx.Middleware(func(ctx context.Context, req any) (any, error) { return call(ctx, req.(*In)) })
		out, err := h(ctx, in)
		if err != nil {
			return err
		}
		return ctx.Result(nethttp.StatusOK, out)
	}
}

// GRPC returns the backend by gRPC, under the full name of its service.
func (b *Backend) GRPC(service string, options ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(append(options, grpc.Middleware(mmd.Server()))...)
	desc := authpb.Auth_ServiceDesc
	desc.ServiceName = service
	server.RegisterService(&desc, b)
	return server
}
