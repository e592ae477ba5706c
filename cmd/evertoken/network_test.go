package main

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// setUpNetwork gives a script what can stand between it and a server: a server
// whose certificate only programs trust that have $CERTIFICATE in SSL_CERT_FILE, and a
// proxy, $PROXY, that lets no request through without a password.
func setUpNetwork(env *testscript.Env) error {
	s := oauthtest.NewTLSServer(oauthtest.Config{Users: map[string]string{"alice": "wonderland"}})
	env.Defer(s.Close)
	person := httptest.NewServer(person(s))
	env.Defer(person.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	env.Defer(proxy.Close)
	file := filepath.Join(env.WorkDir, "certificate.pem")
	env.Setenv("TLSISSUER", s.Issuer())
	env.Setenv("TLSPERSON", person.URL)
	env.Setenv("CERTIFICATE", file)
	env.Setenv("PROXY", proxy.Listener.Addr().String())
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return os.WriteFile(file, data, 0o600)
}
