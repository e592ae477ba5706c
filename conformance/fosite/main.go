// Command fosite is an authorization server that the Evertoken project did not
// write: Ory's library fosite, the heart of Ory Hydra, with the storage of its
// examples. What is added here is what the library leaves to its users: routes, a
// login page and an API.
//
// The test that starts it opens the socket and passes it as file descriptor 3.
// File descriptor 4 is a pipe that ends when the test does; the server ends with
// it. The environment variable OPTIONS holds a JSON object: see [options].
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"
)

// clientID is the one client that the server knows.
const clientID = "evertoken"

type options struct {
	RedirectURL         string `json:"redirectURL"`
	Secret              string `json:"secret"`
	AccessTokenLifetime int    `json:"accessTokenLifetime"` // seconds
}

type server struct {
	provider fosite.OAuth2Provider
}

func main() {
	var o options
	if err := json.Unmarshal([]byte(os.Getenv("OPTIONS")), &o); err != nil {
		log.Fatal(err)
	}
	provider, err := newProvider(o)
	if err != nil {
		log.Fatal(err)
	}
	socket, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(4, "lifeline"))
		os.Exit(0)
	}()
	s := server{provider}
	mux := http.NewServeMux()
	mux.HandleFunc("/authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /revoke", s.revoke)
	mux.HandleFunc("GET /api", s.api)
	log.Fatal((&http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}).Serve(socket))
}

func newProvider(o options) (fosite.OAuth2Provider, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	cfg := &fosite.Config{
		AccessTokenLifespan: time.Duration(o.AccessTokenLifetime) * time.Second,
		GlobalSecret:        key,
		RefreshTokenScopes:  []string{"offline"},
		EnforcePKCE:         true,
	}
	secret, err := (&fosite.BCrypt{Config: &fosite.Config{HashCost: 4}}).Hash(context.Background(), []byte(o.Secret))
	if err != nil {
		return nil, err
	}
	store := storage.NewMemoryStore()
	store.Clients[clientID] = &fosite.DefaultClient{
		ID:            clientID,
		Secret:        secret,
		RedirectURIs:  []string{o.RedirectURL},
		GrantTypes:    fosite.Arguments{"authorization_code", "refresh_token"},
		ResponseTypes: fosite.Arguments{"code"},
		Scopes:        fosite.Arguments{"offline"},
	}
	return compose.Compose(cfg, store, compose.NewOAuth2HMACStrategy(cfg),
		compose.OAuth2AuthorizeExplicitFactory,
		compose.OAuth2PKCEFactory,
		compose.OAuth2RefreshTokenGrantFactory,
		compose.OAuth2TokenRevocationFactory,
		compose.OAuth2TokenIntrospectionFactory,
	), nil
}

var page = template.Must(template.New("login").Parse(`<!doctype html><title>Login</title><h1>Login</h1>
<form method="post"><input name="username" required> <button>Allow</button></form>`))

func (s server) authorize(w http.ResponseWriter, r *http.Request) {
	ar, err := s.provider.NewAuthorizeRequest(r.Context(), r)
	if err != nil {
		s.provider.WriteAuthorizeError(r.Context(), w, ar, err)
		return
	}
	user := r.PostFormValue("username")
	if user == "" {
		_ = page.Execute(w, nil)
		return
	}
	for _, scope := range ar.GetRequestedScopes() {
		ar.GrantScope(scope)
	}
	answer, err := s.provider.NewAuthorizeResponse(r.Context(), ar, &fosite.DefaultSession{Subject: user})
	if err != nil {
		s.provider.WriteAuthorizeError(r.Context(), w, ar, err)
		return
	}
	s.provider.WriteAuthorizeResponse(r.Context(), w, ar, answer)
}

func (s server) token(w http.ResponseWriter, r *http.Request) {
	request, err := s.provider.NewAccessRequest(r.Context(), r, new(fosite.DefaultSession))
	if err != nil {
		s.provider.WriteAccessError(r.Context(), w, request, err)
		return
	}
	answer, err := s.provider.NewAccessResponse(r.Context(), request)
	if err != nil {
		s.provider.WriteAccessError(r.Context(), w, request, err)
		return
	}
	s.provider.WriteAccessResponse(r.Context(), w, request, answer)
}

func (s server) revoke(w http.ResponseWriter, r *http.Request) {
	s.provider.WriteRevocationResponse(r.Context(), w, s.provider.NewRevocationRequest(r.Context(), r))
}

// api is what the tokens are for.
func (s server) api(w http.ResponseWriter, r *http.Request) {
	_, _, err := s.provider.IntrospectToken(r.Context(), fosite.AccessTokenFromRequest(r), fosite.AccessToken, new(fosite.DefaultSession))
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, "yes")
}
