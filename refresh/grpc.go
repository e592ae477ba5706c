package refresh

import (
	"context"
	"fmt"

	"github.com/evertoken/evertoken/oauth"
)

// GetRequestMetadata returns the authorization header for a call, making the
// manager a credentials.PerRPCCredentials of google.golang.org/grpc without
// importing it. It waits like TokenContext. DPoP tokens are refused as
// oauth.ErrMisconfigured: gRPC leaves no room for their proofs.
func (m *Manager) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	s, err := m.m.Current(ctx)
	if err != nil {
		return nil, err
	}
	if s.Pair.Type() == "DPoP" {
		return nil, fmt.Errorf("%w: %w", errDPoPGRPC, oauth.ErrMisconfigured)
	}
	return map[string]string{"authorization": s.Authorization[0]}, nil
}

// RequireTransportSecurity is true: tokens travel over TLS only.
func (m *Manager) RequireTransportSecurity() bool { return true }
