package conformance

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// products are the servers that every scenario is played with.
var products = []product{
	{name: "oidc-provider", start: startOIDCProvider, hardened: true, reuseEndsSession: true, oldTokenLives: true, forgets: true},
	{name: "@node-oauth", start: startNodeOAuth, noRevocation: true, noDevices: true},
	{name: "fosite", start: startFosite, reuseEndsSession: true, noDevices: true, forgets: true},
	{name: "glewlwyd", start: startGlewlwyd, reuseEndsSession: true, oldTokenLives: true},
	{name: "gin-jwt", start: startGinJWT, oldTokenLives: true, noDevices: true, forgets: true, coarse: true},
	{name: "gin-jwt, form, Redis", start: startGinJWTOnRedis, oldTokenLives: true, noDevices: true, coarse: true},
	{name: "gin-jwt, our Redis store", start: startGinJWTOnOurs, oldTokenLives: true, noDevices: true, coarse: true},
	{name: "gin-jwt, our memory store", start: startGinJWTOnOurMemory, oldTokenLives: true, noDevices: true, forgets: true, coarse: true},
	{name: "oidc-provider, no rotation", start: startOIDCProvider, hardened: true, keepsRefreshToken: true, oldTokenLives: true, forgets: true},
	{name: "@node-oauth, no rotation", start: startNodeOAuth, keepsRefreshToken: true, oldTokenLives: true, noRevocation: true, noDevices: true},
	{name: "glewlwyd, no rotation", start: startGlewlwyd, keepsRefreshToken: true, oldTokenLives: true},
}

// A scenario is a story from a session's life. Its function returns what the table
// of all servers and scenarios says of it.
type scenario struct {
	name string
	play func(t *testing.T, p product, s *authServer) string
	// offered tells for which servers there is such a story; nil means for all.
	offered func(p product) bool
	// life is that of access tokens, in seconds, if the story depends on it: it
	// then gets a server of its own.
	life int
	// nonces are those that the story is about: the same.
	nonces nonces
}

// scenarios are played in this order, with one server and a new login each.
var scenarios = []scenario{
	{name: "login", play: playLogin},
	{name: "device login", play: playDeviceLogin, offered: func(p product) bool { return !p.noDevices }},
	{name: "three refreshes", play: playThreeRefreshes},
	{name: "old access token after a refresh", play: playOldAccessToken},
	{name: "renews by itself", play: playRenewsByItself, life: 3},
	{name: "restart from the store", play: playRestart},
	{name: "two managers, one store", play: playTwoManagers},
	{name: "clock an hour ahead", play: playClockAhead},
	{name: "clock an hour behind", play: playClockBehind},
	{name: "spent token used again", play: playReuse},
	{name: "revoked elsewhere", play: playRevokedElsewhere, offered: func(p product) bool { return !p.noRevocation }},
	{name: "logout", play: playLogout, offered: func(p product) bool { return !p.noRevocation }},
	{name: "connections refused", play: playRefused},
	{name: "answer lost", play: playAnswerLost},
	{name: "killed during a refresh", play: playKilled, offered: func(p product) bool { return !p.forgets }},
	{name: "pushed login", play: playPushedLogin, offered: isHardened},
	{name: "private_key_jwt", play: playPrivateKeyJWT, offered: isHardened},
	{name: "DPoP", play: playDPoP, offered: isHardened},
	{name: "DPoP, nonces everywhere", play: playDPoPNonces, offered: isHardened, nonces: noncesEverywhere},
	{name: "DPoP, nonces at refresh", play: playDPoPNoncesAtRefresh, offered: isHardened, nonces: noncesAtRefresh},
	{name: "DPoP, clock an hour ahead", play: playDPoPClockAhead, offered: isHardened},
	{name: "DPoP, clock an hour behind", play: playDPoPClockBehind, offered: isHardened},
	{name: "DPoP, another key", play: playDPoPAnotherKey, offered: isHardened},
}

func isHardened(p product) bool { return p.hardened }

// defaultLife is the life of access tokens, in seconds, where it does not matter.
const defaultLife = 900

const (
	cellOK      = "✓"
	cellFailed  = "✗"
	cellMissing = "–" // the server does not offer it, as it is set up here
)

// TestServers plays every scenario with every server and prints a table of what
// came of it.
func TestServers(t *testing.T) {
	t.Parallel()
	results := newMatrix()
	atEnd(func() { fmt.Print(results.markdown()) })
	// They mostly wait, so they are all played at once, whatever -parallel is.
	var all sync.WaitGroup
	for _, p := range products {
		all.Go(func() { t.Run(p.name, func(t *testing.T) { playAll(t, p, results) }) })
	}
	all.Wait()
}

// playAll plays the scenarios with one server.
func playAll(t *testing.T, p product, results *matrix) {
	shared := p.start(t, p.options(scenario{}))
	for _, sc := range scenarios {
		if sc.offered != nil && !sc.offered(p) {
			results.note(p, sc, cellMissing)
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			results.note(p, sc, cellFailed)
			server := shared
			if sc.life != 0 || sc.nonces != noncesNever {
				server = p.start(t, p.options(sc))
			}
			if cell := sc.play(t, p, server); !t.Failed() {
				results.note(p, sc, cell)
			}
		})
	}
}

func (p product) options(sc scenario) serverOptions {
	return serverOptions{rotate: !p.keepsRefreshToken, life: cmp.Or(sc.life, defaultLife), nonces: sc.nonces}
}

// A matrix is what came of all scenarios with all servers.
type matrix struct {
	mu    sync.Mutex // guards cells
	cells map[[2]string]string
}

func newMatrix() *matrix { return &matrix{cells: map[[2]string]string{}} }

func (m *matrix) note(p product, sc scenario, cell string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cells[[2]string{p.name, sc.name}] = cell
}

// markdown returns the table. What was not played is empty.
func (m *matrix) markdown() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	b.WriteString("\n| scenario |")
	for _, p := range products {
		fmt.Fprintf(&b, " %s |", p.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(products)) + "\n")
	for _, sc := range scenarios {
		fmt.Fprintf(&b, "| %s |", sc.name)
		for _, p := range products {
			fmt.Fprintf(&b, " %s |", m.cells[[2]string{p.name, sc.name}])
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n%s as it should be; %s the server does not offer it, as it is set up here; %s failed\n\n", cellOK, cellMissing, cellFailed)
	return b.String()
}
