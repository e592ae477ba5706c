// Package server is a backend that speaks gRPC: the services of authpb in front of
// oauthtest's backend in the style of the Go framework Kratos, which has the
// users, the sessions, the faults by script and the auditor. As with Kratos, the
// same refusals come by HTTP and by gRPC.
package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/evertoken/evertoken/examples/grpc/authpb"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// New returns a gRPC server over TLS for backend, which oauthtest.New has made.
// Refresh tokens are JWTs if backend's Config.JWTRefreshTokens is set.
func New(backend *oauthtest.Server, cert tls.Certificate) *grpc.Server {
	s := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	authpb.RegisterAuthServer(s, auth{backend: backend})
	authpb.RegisterAccountServer(s, account{backend: backend})
	return s
}

// auth passes each call on as the JSON that protobuf defines for its message.
type auth struct {
	authpb.UnimplementedAuthServer
	backend *oauthtest.Server
}

func (a auth) Login(ctx context.Context, in *authpb.LoginRequest) (*authpb.LoginReply, error) {
	reply := new(authpb.LoginReply)
	return reply, a.post(ctx, oauthtest.KratosBackend.LoginEndpoint(), in, reply)
}

func (a auth) RefreshToken(ctx context.Context, in *authpb.RefreshTokenRequest) (*authpb.RefreshTokenReply, error) {
	reply := new(authpb.RefreshTokenReply)
	return reply, a.post(ctx, oauthtest.KratosBackend.RefreshEndpoint(), in, reply)
}

func (a auth) Logout(ctx context.Context, in *authpb.LogoutRequest) (*authpb.LogoutReply, error) {
	reply := new(authpb.LogoutReply)
	return reply, a.post(ctx, oauthtest.KratosBackend.LogoutEndpoint(), in, reply)
}

func (a auth) post(ctx context.Context, e oauthtest.Endpoint, in, reply proto.Message) error {
	body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(in)
	if err != nil {
		return status.Error(codes.Internal, "the request cannot be written")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.backend.Endpoint(e), bytes.NewReader(body))
	if err != nil {
		return status.Error(codes.Internal, "the backend has no address")
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := ask(a.backend, r)
	if err != nil {
		return err
	}
	if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(answer, reply) != nil {
		return status.Error(codes.Internal, "the backend's answer cannot be read")
	}
	return nil
}

// account needs an access token for everything.
type account struct {
	authpb.UnimplementedAccountServer
	backend *oauthtest.Server
}

func (a account) Whoami(ctx context.Context, _ *authpb.WhoamiRequest) (*authpb.WhoamiReply, error) {
	user, err := a.user(ctx)
	if err != nil {
		return nil, err
	}
	return &authpb.WhoamiReply{User: user}, nil
}

func (a account) Watch(in *authpb.WatchRequest, out grpc.ServerStreamingServer[authpb.WhoamiReply]) error {
	for i := range in.GetTimes() {
		if i > 0 {
			select {
			case <-time.After(time.Second):
			case <-out.Context().Done():
				return status.FromContextError(out.Context().Err()).Err()
			}
		}
		user, err := a.user(out.Context())
		if err != nil {
			return err
		}
		if err := out.Send(&authpb.WhoamiReply{User: user}); err != nil {
			return err
		}
	}
	return nil
}

func (a account) Upload(in grpc.ClientStreamingServer[authpb.UploadRequest, authpb.UploadReply]) error {
	if _, err := a.user(in.Context()); err != nil {
		return err
	}
	var size int64
	for {
		chunk, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return in.SendAndClose(&authpb.UploadReply{Size: size})
		}
		if err != nil {
			return err
		}
		size += int64(len(chunk.GetChunk()))
	}
}

// user returns whose access token the call carries.
func (a account) user(ctx context.Context) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.backend.Resource(), nil)
	if err != nil {
		return "", status.Error(codes.Internal, "the backend has no address")
	}
	r.Header["Authorization"] = metadata.ValueFromIncomingContext(ctx, "authorization")
	if token := metadata.ValueFromIncomingContext(ctx, "x-token"); len(token) == 1 { // as APIs of one's own have it
		r.Header.Set("Authorization", "Bearer "+token[0])
	}
	answer, err := ask(a.backend, r)
	if err != nil {
		return "", err
	}
	var who struct{ User string }
	if json.Unmarshal(answer, &who) != nil {
		return "", status.Error(codes.Internal, "the backend's answer cannot be read")
	}
	return who.User, nil
}

// ask returns the backend's answer, or its refusal as a gRPC status.
func ask(backend *oauthtest.Server, r *http.Request) ([]byte, error) {
	resp, err := backend.Client().Do(r)
	if err != nil {
		return nil, status.Error(codes.Unavailable, "the backend gives no answer")
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, status.Error(codes.Unavailable, "the backend's answer was cut off")
	case resp.StatusCode != http.StatusOK:
		return nil, refusal(resp, answer)
	}
	return answer, nil
}
