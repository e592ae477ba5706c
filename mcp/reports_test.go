package mcp_test

import (
	"context"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/evertoken/evertoken/mcp"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// The tests here play what users of the SDK have reported: docs/mcp.md has a line for each.

// The SDK's handler kept session and client in memory: each start registered and logged in.
func TestReport_go_sdk_901(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, oauthtest.Config{})
			store := new(tokenstore.Memory)
			for start := range 4 {
				s := p.session(t, func(cfg *mcp.Config) { cfg.Refresh.Store = store })
				if err := call(t, connect(t, way(s))); err != nil {
					t.Fatalf("start %d: %v", start, err)
				}
				s.Close()
			}
			p.want(t, "four starts", 1)
			if n := p.as.Load().Requests(oauthtest.RegistrationEndpoint); n != 1 {
				t.Errorf("%d registrations; want 1", n)
			}
		})
	}
}

// The SDK's token source kept the context of the call that had logged in: the first refresh
// after that call failed with "context canceled", and so did every other.
func TestReport_go_sdk_988(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, oauthtest.Config{})
			ctx, cancel := context.WithCancel(t.Context())
			client := sdk.NewClient(&sdk.Implementation{Name: "tool", Version: "1"}, nil)
			conn, err := client.Connect(ctx, way(p.session(t)), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			cancel()
			p.as.Load().ExpireAccess(oauthtest.DefaultUser)
			if err := call(t, conn); err != nil {
				t.Errorf("after the context of the login has ended: %v", err)
			}
			p.want(t, "afterwards", 1)
			if n := p.as.Load().Refreshes(); n != 1 {
				t.Errorf("%d refreshes; want 1", n)
			}
		})
	}
}
