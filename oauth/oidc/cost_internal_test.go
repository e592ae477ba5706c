package oidc

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/costmeter"
	"github.com/evertoken/evertoken/oauth"
)

// rsaKey returns a public key of that many bits, as a JWK.
func rsaKey(bits int) string {
	n := bytes.Repeat([]byte{0xff}, bits/8)
	return `{"kty":"RSA","e":"AQAB","n":"` + base64.RawURLEncoding.EncodeToString(n) + `"}`
}

// The time that a signature takes is counted in bits of keys: of all keys that are taken over
// together it stays within seconds.
func TestF93_KeyThatCostsTooMuchIsNotTried(t *testing.T) {
	for bits, want := range map[int]int{2048: 1, 4096: 1, 8192: 0, 16384: 0, 262144: 0, 4 << 20: 0} {
		if got := len(parseKeys([]byte(`{"keys":[` + rsaKey(bits) + `]}`))); got != want {
			t.Errorf("%d keys of %d bits are taken over, want %d", got, bits, want)
		}
	}
}

// sets are pieces that key sets consist of whose issuer wants to cost something.
var sets = map[string]struct{ begin, piece, end string }{
	"keys":          {`{"keys":[`, rsaKey(2048) + ",", `{}]}`},
	"empty keys":    {`{"keys":[`, "{},", `{}]}`},
	"numbers":       {`{"keys":[`, "1,", `1]}`},
	"members":       {`{"keys":[{`, `"kty":"RSA",`, `"e":"AQAB"}]}`},
	"open arrays":   {`{"keys":`, "[", ""},
	"open objects":  {`{"keys":`, `{"keys":`, ""},
	"certificates":  {`{"keys":[{"kty":"RSA","e":"AQAB","n":"AQAB","x5c":[`, `"AAAA",`, `"AAAA"]}]}`},
	"long modulus":  {`{"keys":[{"kty":"RSA","e":"AQAB","n":"`, "f", `"}]}`},
	"long exponent": {`{"keys":[{"kty":"RSA","n":"AQAB","e":"`, "f", `"}]}`},
	"long point":    {`{"keys":[{"kty":"EC","crv":"P-256","y":"AQAB","x":"`, "f", `"}]}`},
	"long name":     {`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"`, "k", `"}]}`},
	"escapes":       {`{"keys":[{"kid":"`, `\u0041`, `"}]}`},
}

func TestF93_KeySetCostsNoMoreThanItsLength(t *testing.T) {
	for name, set := range sets {
		parser := func(size int) func() {
			body := []byte(set.begin + strings.Repeat(set.piece, (size-len(set.begin)-len(set.end))/len(set.piece)) + set.end)
			return func() { parseKeys(body) }
		}
		costmeter.Check(t, name, maxBody/4, costmeter.Limit{PerByte: 100, Fixed: 1 << 20}, parser(maxBody/4))
		costmeter.CheckWork(t, name, maxBody/4, parser)
	}
}

// served answers every request by a body, and counts.
type served struct {
	status   int
	header   http.Header
	body     func(ctx context.Context) io.ReadCloser
	requests int
}

func (s *served) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests++
	if s.requests > 100 {
		return nil, errors.New("too many requests")
	}
	return &http.Response{StatusCode: s.status, Header: s.header, Body: s.body(r.Context()), Request: r}, nil
}

func TestF93_KeysFromElsewhereAreNotFetched(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := &served{status: status, header: http.Header{"Location": {"https://elsewhere.example/keys"}}, body: func(context.Context) io.ReadCloser { return http.NoBody }}
		_, err := fetchKeys(t.Context(), oauth.IDTokenCheck{JWKSURL: "https://as.example/keys", HTTPClient: &http.Client{Transport: server}})
		if !errors.Is(err, oauth.ErrTransient) || server.requests != 1 {
			t.Errorf("HTTP %d: %d requests and error %v, want one and one that is transient", status, server.requests, err)
		}
	}
}

// An endless body is read up to the limit, and one that drips for half a minute.
func TestF93_EndlessKeySetIsGivenUp(t *testing.T) {
	for name, every := range map[string]time.Duration{"fast": 0, "dripping": time.Second} {
		synctest.Test(t, func(t *testing.T) {
			stream := &stream{every: every}
			server := &served{status: http.StatusOK, body: func(ctx context.Context) io.ReadCloser { stream.ctx = ctx; return stream }}
			start := time.Now()
			_, err := fetchKeys(context.Background(), oauth.IDTokenCheck{JWKSURL: "https://as.example/keys", HTTPClient: &http.Client{Transport: server}})
			if took := time.Since(start); !errors.Is(err, oauth.ErrTransient) || took > fetchTimeout+time.Second || stream.sent > maxBody+64<<10 {
				t.Errorf("%s: error %v after %v and %d bytes", name, err, took, stream.sent)
			}
		})
	}
}

// A stream is a body without end.
type stream struct {
	ctx   context.Context
	every time.Duration
	sent  int
}

func (s *stream) Read(p []byte) (int, error) {
	if s.every > 0 {
		p = p[:1]
		select {
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		case <-time.After(s.every):
		}
	}
	clear(p)
	s.sent += len(p)
	return len(p), nil
}

func (s *stream) Close() error { return nil }

// net/http inflates what is compressed; what counts is how much comes of it.
func TestF93_CompressedKeySetIsReadUpToTheLimit(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range 64 {
		fmt.Fprint(w, strings.Repeat(" ", 1<<20))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	server := &served{status: http.StatusOK, body: func(context.Context) io.ReadCloser {
		r, err := gzip.NewReader(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Error(err)
		}
		return r
	}}
	check := oauth.IDTokenCheck{JWKSURL: "https://as.example/keys", HTTPClient: &http.Client{Transport: server}}
	costmeter.Check(t, "64 MiB of spaces", maxBody, costmeter.Limit{PerByte: 8, Fixed: 1 << 20}, func() {
		if _, err := fetchKeys(t.Context(), check); !errors.Is(err, oauth.ErrTransient) {
			t.Errorf("error %v", err)
		}
	})
}
