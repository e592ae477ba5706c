package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/evertoken/evertoken/mcp"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/register"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A shape is how the TypeScript server describes itself: see tsserver/server.mjs.
type shape struct {
	Resource  bool `json:"resource"`
	Challenge bool `json:"challenge"`
	ExpiresIn bool `json:"expiresIn"`
}

// shapes are those that programs have made of the SDK's router. Its default, without
// resourceServerUrl, has the metadata at the origin alone, and "origin/" as the resource.
var shapes = map[string]shape{
	"path metadata":                          {Resource: true, Challenge: true, ExpiresIn: true},
	"path metadata without a challenge":      {Resource: true, ExpiresIn: true},
	"origin's metadata":                      {Challenge: true, ExpiresIn: true},
	"origin's metadata without a challenge":  {ExpiresIn: true},
	"path metadata without expires_in":       {Resource: true, Challenge: true},
	"origin's metadata, nothing told at all": {},
}

// A tsServer is a process.
type tsServer struct {
	endpoint string
	windows  *atomic.Int32
}

// startTS starts the TypeScript server.
func startTS(t *testing.T, s shape) tsServer {
	t.Helper()
	set, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nodePath(t), filepath.Join("tsserver", "server.mjs"), string(set))
	in, err1 := cmd.StdinPipe() // its end is the server's
	out, err2 := cmd.StdoutPipe()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the server says:\n%s", stderr.String())
		}
	})
	endpoint, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	return tsServer{strings.TrimSpace(endpoint), new(atomic.Int32)}
}

// do has something happen at the server.
func (s tsServer) do(t *testing.T, what string) {
	t.Helper()
	resp, err := http.Post(strings.TrimSuffix(s.endpoint, "/mcp")+"/test/"+what, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// counts is what the server has seen, and how often the person was asked.
type counts struct{ Registrations, Windows, Refreshes, Reuses, Sessions int }

func (s tsServer) want(t *testing.T, when string, want counts) {
	t.Helper()
	resp, err := http.Get(strings.TrimSuffix(s.endpoint, "/mcp") + "/test/counts")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := counts{Windows: int(s.windows.Load())}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got != want {
		t.Errorf("%s: got %+v (%v); want %+v", when, got, err, want)
	}
}

// session returns a session that is kept in a store.
func (s tsServer) session(t *testing.T, store tokenstore.Store) *mcp.Session {
	t.Helper()
	session, err := mcp.New(mcp.Config{
		URL:    s.endpoint,
		Client: register.Options{Metadata: register.Metadata{ClientName: "Tool"}},
		OAuth: oauth.Config{Output: io.Discard, OpenBrowser: func(ctx context.Context, address string) error {
			s.windows.Add(1)
			return visit(ctx, address)
		}},
		Refresh: refresh.Config{Store: store},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return session
}

// connected returns a client's connection, by a session's HTTP client or the SDK's interface.
func connected(t *testing.T, session *mcp.Session, byHandler bool) *sdk.ClientSession {
	t.Helper()
	transport := &sdk.StreamableClientTransport{Endpoint: session.URL(), HTTPClient: session.Client()}
	if byHandler {
		transport = &sdk.StreamableClientTransport{Endpoint: session.URL(), OAuthHandler: session.OAuthHandler()}
	}
	conn, err := sdk.NewClient(&sdk.Implementation{Name: "tool", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func mustHash(t *testing.T, when string, conn *sdk.ClientSession) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	result, err := conn.CallTool(ctx, &sdk.CallToolParams{Name: "hash"})
	if err != nil || result.IsError || !strings.Contains(fmt.Sprint(result.Content[0].(*sdk.TextContent).Text), "e3b0c442") {
		t.Errorf("%s: %+v, %v", when, result, err)
	}
}

// The TypeScript SDK's server behind its authorization router, in all shapes that its options
// give it.
func TestTypeScriptServer(t *testing.T) {
	for name, s := range shapes {
		for way, byHandler := range map[string]bool{"Client": false, "OAuthHandler": true} {
			t.Run(name+", "+way, func(t *testing.T) {
				server, store := startTS(t, s), new(tokenstore.Memory)
				session := server.session(t, store)
				conn := connected(t, session, byHandler)
				mustHash(t, "first start", conn)
				server.want(t, "first start", counts{Registrations: 1, Windows: 1, Sessions: 1})

				server.do(t, "expire")
				mustHash(t, "with a dead access token", conn)
				server.want(t, "with a dead access token", counts{Registrations: 1, Windows: 1, Refreshes: 1, Sessions: 1})

				_ = conn.Close()
				session.Close()
				mustHash(t, "second start", connected(t, server.session(t, store), byHandler))
				server.want(t, "second start", counts{Registrations: 1, Windows: 1, Refreshes: 1, Sessions: 1})
			})
		}
	}
}

// A session that the TypeScript server has ended leads to one more login, with the same client.
func TestTypeScriptServerEndsTheSession(t *testing.T) {
	server, store := startTS(t, shapes["path metadata"]), new(tokenstore.Memory)
	session := server.session(t, store)
	mustHash(t, "first start", connected(t, session, false))
	session.Close()
	server.do(t, "end")
	mustHash(t, "after the server has ended the session", connected(t, server.session(t, store), false))
	server.want(t, "after the server has ended the session", counts{Registrations: 1, Windows: 2, Refreshes: 1, Sessions: 1})
}
