package metadata

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

const testIssuer = "https://auth.test"

func TestMetadataIsLookedForWhereTheSpecificationsPutIt(t *testing.T) {
	for issuer, want := range map[string][]string{
		"https://a.test":          {"https://a.test/.well-known/oauth-authorization-server", "https://a.test/.well-known/openid-configuration"},
		"https://a.test/":         {"https://a.test/.well-known/oauth-authorization-server", "https://a.test/.well-known/openid-configuration"},
		"https://a.test:8443/t/1": {"https://a.test:8443/.well-known/oauth-authorization-server/t/1", "https://a.test:8443/t/1/.well-known/openid-configuration"},
		"https://a.test/t/":       {"https://a.test/.well-known/oauth-authorization-server/t", "https://a.test/t/.well-known/openid-configuration"},
		"https://a.test/%74%2F1":  {"https://a.test/.well-known/oauth-authorization-server/%74%2F1", "https://a.test/%74%2F1/.well-known/openid-configuration"},
	} {
		got, err := URLs(issuer)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v; want %v", issuer, got, err, want)
		}
	}
}

func FuzzJudgeMetadata(f *testing.F) {
	f.Add(200, `{"issuer":"https://auth.test","token_endpoint":"https://auth.test/token"}`)
	f.Add(200, `{"issuer":"https://auth.test","token_endpoint":"http://evil.test/token","scopes_supported":[1]}`)
	f.Add(200, `{"issuer":"https://auth.test/?`+planted+`"}`)
	f.Add(200, html)
	f.Add(404, `{"issuer":"https://auth.test"}`)
	f.Add(503, "")
	f.Add(307, "")
	f.Fuzz(func(t *testing.T, status int, body string) {
		doc, fail := judge(answered(OpDiscover, status, body), []string{testIssuer}, "")
		if (doc == nil) == (fail == nil) {
			t.Fatalf("document %v and error %v; want exactly one", doc, fail)
		}
		if fail != nil {
			if fail.Kind != wire.ErrTransient && fail.Kind != wire.ErrMisconfigured {
				t.Errorf("kind %v", fail.Kind)
			}
			return
		}
		if status < 200 || status > 299 || doc.Text("issuer") != testIssuer {
			t.Errorf("HTTP %d with issuer %s was taken for metadata", status, doc["issuer"])
		}
	})
}

// planted is in every body and must be in no error.
const planted = "PLANTED-eyJhbGciOi.s3cr3t"

const html = "<!DOCTYPE html><title>Sign in</title><p>" + planted

// answered is an answer to op as the network gave it.
func answered(op string, status int, body string) *wire.Answer {
	return &wire.Answer{Op: op, Status: status, Header: http.Header{}, Body: []byte(body), Whole: true, Received: time.Now()}
}
