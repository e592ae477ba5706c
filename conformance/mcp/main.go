// Command mcp is the client that the Model Context Protocol's conformance suite tests: an
// MCP client of the official SDK whose login is kept by package mcp. The suite's server is
// its last argument. All else that it knows is in MCP_CONFORMANCE_CONTEXT, which holds
// what a person would have configured: a client, a key, a platform's token. It does not
// look at which scenario it is in.
package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/evertoken/evertoken/mcp"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/register"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "%q\n", err.Error())
		os.Exit(1)
	}
}

// A setting is what MCP_CONFORMANCE_CONTEXT holds.
type setting struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Issuer       string `json:"issuer"`
	PrivateKey   string `json:"private_key_pem"`
	Algorithm    string `json:"signing_algorithm"`
	WorkloadJWT  string `json:"valid_jwt"`
	IDPClientID  string `json:"idp_client_id"`
	IDPIDToken   string `json:"idp_id_token"`
	IDPIssuer    string `json:"idp_issuer"`
	IDPTokenURL  string `json:"idp_token_endpoint"`
}

func run() error {
	var set setting
	if text := os.Getenv("MCP_CONFORMANCE_CONTEXT"); text != "" {
		if err := json.Unmarshal([]byte(text), &set); err != nil {
			return fmt.Errorf("MCP_CONFORMANCE_CONTEXT: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cfg, err := set.config(os.Args[len(os.Args)-1])
	if err != nil {
		return err
	}
	session, err := mcp.New(cfg)
	if err != nil {
		return err
	}
	defer session.Close()
	return use(ctx, session)
}

// config is what a program like this would be configured with.
func (set setting) config(url string) (mcp.Config, error) {
	cfg := mcp.Config{
		URL: url,
		OAuth: oauth.Config{
			OpenBrowser: visit, Output: os.Stderr, OfflineAccess: true,
			AssumeEndpoints: true, // the suite has servers from before metadata
		},
		Client: register.Options{
			DocumentURL: "https://conformance-test.local/client-metadata.json",
			Metadata:    register.Metadata{ClientName: "Evertoken"},
		},
	}
	if set.ClientID == "" {
		return cfg, nil
	}
	given := &register.Registration{Issuer: set.Issuer, ClientID: set.ClientID, ClientSecret: set.ClientSecret, AuthMethod: "none"}
	if set.ClientSecret != "" {
		given.AuthMethod = "client_secret_basic"
	}
	cfg.Client.Given = []*register.Registration{given}
	if set.PrivateKey != "" {
		key, err := set.key()
		if err != nil {
			return cfg, err
		}
		cfg.OAuth.ClientAuth = oauth.PrivateKeyJWT(key)
	}
	cfg.Grant = set.grant()
	return cfg, nil
}

func (set setting) key() (oauth.AssertionKey, error) {
	block, _ := pem.Decode([]byte(set.PrivateKey))
	if block == nil {
		return oauth.AssertionKey{}, errors.New("private_key_pem is not PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return oauth.AssertionKey{}, errors.New("private_key_pem is not a PKCS #8 key")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return oauth.AssertionKey{}, errors.New("private_key_pem cannot sign")
	}
	return oauth.AssertionKey{Signer: signer, Algorithm: set.Algorithm}, nil
}

// grant returns how tokens are had without a person, or nil if a person logs in.
func (set setting) grant() mcp.Grant {
	switch {
	case set.WorkloadJWT != "":
		return func(_ context.Context, client *oauth.Client, _ *oauth.ProtectedResource) (*oauth.GrantRefresher, error) {
			return client.JWTBearerRefresher(func(context.Context) (string, error) { return set.WorkloadJWT, nil }), nil
		}
	case set.IDPIDToken != "":
		provider := oauth.NewClient(oauth.Config{Issuer: set.IDPIssuer, TokenURL: set.IDPTokenURL, ClientID: set.IDPClientID})
		return func(_ context.Context, client *oauth.Client, _ *oauth.ProtectedResource) (*oauth.GrantRefresher, error) {
			return client.IdentityAssertionRefresher(oauth.IdentityAssertion{
				Provider: provider,
				Subject: func(context.Context) (oauth.TokenExchange, error) {
					return oauth.TokenExchange{SubjectToken: set.IDPIDToken}, nil
				},
			}), nil
		}
	case set.ClientSecret != "" || set.PrivateKey != "":
		return byServer
	}
	return nil
}

// byServer lets a person log in wherever the server has logins, and otherwise lets the
// client speak for itself.
func byServer(_ context.Context, client *oauth.Client, _ *oauth.ProtectedResource) (*oauth.GrantRefresher, error) {
	if m := client.Metadata(); m != nil && slices.Contains(m.GrantTypesSupported, "client_credentials") && !slices.Contains(m.GrantTypesSupported, "authorization_code") {
		return client.ClientCredentialsRefresher(), nil
	}
	return nil, nil
}

// visit is the person: the suite's servers send the browser back at once.
func visit(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	go func() {
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	return nil
}

// use does what an MCP client does.
func use(ctx context.Context, session *mcp.Session) error {
	client := sdk.NewClient(&sdk.Implementation{Name: "evertoken-conformance", Version: "1"}, nil)
	conn, err := client.Connect(ctx, &sdk.StreamableClientTransport{Endpoint: session.URL(), HTTPClient: session.Client()}, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ListTools(ctx, nil); err != nil {
		return err
	}
	_, err = conn.CallTool(ctx, &sdk.CallToolParams{Name: "test-tool", Arguments: map[string]any{}})
	return err
}
