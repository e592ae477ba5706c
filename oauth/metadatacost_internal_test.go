package oauth

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/costmeter"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// metadataBombs are pieces that metadata consists of whose publisher wants to cost something.
var metadataBombs = map[string]struct{ piece, end string }{
	"scopes":      {`"scopes_supported":["%d"],`, ""},
	"many scopes": {`"a%d",`, `"z"]`},
	"servers":     {`"https://as%d.test",`, `"https://as.test"]`},
	"other lists": {`[%d],`, `[]]`},
	"members":     {`"m%d":{},`, ""},
	"deep":        {`{"a":[`, ""},
	"text":        {`\u0041`, `"`},
}

// Metadata costs no more than its length: those of a server and those of an API.
func TestF93_MetadataCostsNoMoreThanItsLength(t *testing.T) {
	const size = 256 << 10
	heads := map[string]string{
		"many scopes": `"scopes_supported":[`, "servers": `"authorization_servers":[`, "other lists": `"token_endpoint_auth_methods_supported":[`, "text": `"x":"`,
	}
	for name, bomb := range metadataBombs {
		document := func(size int) string {
			var b strings.Builder
			b.WriteString(`{"issuer":"https://as.test","resource":"https://api.test/mcp","token_endpoint":"https://as.test/token",`)
			if name != "servers" {
				b.WriteString(`"authorization_servers":["https://as.test"],`)
			}
			b.WriteString(heads[name])
			for i := 0; b.Len() < size; i++ {
				if strings.Contains(bomb.piece, "%d") {
					fmt.Fprintf(&b, bomb.piece, i)
				} else {
					b.WriteString(bomb.piece)
				}
			}
			b.WriteString(bomb.end)
			return strings.TrimSuffix(b.String(), ",") + "}"
		}
		for publisher, read := range map[string]func(body string){
			"a server": func(body string) {
				fields := published(body).Fields()
				_ = fitClientAuth(fields, &Config{ClientAuth: SelfSignedTLSClientAuth(nil)})
				_ = fill(fields, &Config{Issuer: "https://as.test"})
				_ = extras(fields)
			},
			"an API": func(body string) {
				resource, _ := judgeResource(published(body), "https://api.test/mcp", "https://api.test/.well-known/oauth-protected-resource/mcp")
				if resource != nil {
					resource.Scopes = firstScopes(nil, resource.ScopesSupported)
				}
			},
		} {
			parser := func(size int) func() {
				body := document(size)
				return func() { read(body) }
			}
			costmeter.Check(t, name+" of "+publisher, size, costmeter.Limit{PerByte: 250, Fixed: 1 << 20}, parser(size))
			costmeter.CheckWork(t, name+" of "+publisher, size, parser)
		}
	}
}

func published(body string) *wire.Answer {
	return &wire.Answer{Op: opDiscover, Status: http.StatusOK, Header: http.Header{}, Body: []byte(body), Whole: true, SentAt: sentAt, Received: receivedAt}
}

// A list that no server would read is not asked for; one that fits is, whoever names it.
func TestF93_ScopesOfAFirstLoginFitIntoAnAddress(t *testing.T) {
	list := func(n int) (scopes []string) {
		for i := range n {
			scopes = append(scopes, fmt.Sprintf("scope-%04d", i))
		}
		return append(scopes, scopeOffline)
	}
	for n, want := range map[int]int{0: 0, 1: 1, 372: 372, 373: 0, 100_000: 0} {
		if got := firstScopes(nil, list(n)); len(got) != want {
			t.Errorf("of %d scopes that are published %d are asked for, want %d", n, len(got), want)
		}
		header := http.Header{"Www-Authenticate": {`Bearer scope="` + strings.Join(list(n), " ") + `"`}}
		if got := firstScopes(header, nil); len(got) != want {
			t.Errorf("of %d scopes in a challenge %d are asked for, want %d", n, len(got), want)
		}
	}
}
