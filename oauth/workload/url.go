package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A URL asks a platform for the token by HTTP. Azure Pipelines, for one, answers a POST to
// SYSTEM_OIDCREQUESTURI, with an api-version and a serviceConnectionId, in the member
// oidcToken to who shows SYSTEM_ACCESSTOKEN. It prints without its header, and its
// address without user information and query.
//
// Metadata services that are reached by plain HTTP at an address of the network, as those of
// clouds are, are not asked: a stranger on the network who answers there would be believed.
type URL struct {
	// Address is asked: https, or http to a loopback address. Required.
	Address string
	// Method is GET if it is empty. No request has a body.
	Method string
	// Header goes with each request, such as Authorization. It goes to Address alone: no
	// redirect is followed.
	Header http.Header
	// Member is the name under which the answer, a JSON object, has the token. Empty means
	// that the answer is the token itself.
	Member string
	// HTTPClient sends the requests. Nil means a client that opens one connection for each.
	HTTPClient *http.Client
}

// Token asks for a new token, within 30 seconds.
func (s URL) Token(ctx context.Context) (string, error) {
	if err := wire.CheckEndpoint("URL.Address", s.Address); err != nil {
		return "", misconfigured(err, "")
	}
	method := s.Method
	if method == "" {
		method = http.MethodGet
	}
	a, fail := sender(s.HTTPClient).Send(ctx, opToken, func(ctx context.Context) (*http.Request, error) {
		req, err := wire.NewBodiless(ctx, method, s.Address, "")
		if err != nil {
			return nil, &wire.Unbuilt{Kind: oauth.ErrMisconfigured, Err: errors.New("URL.Method is not a method of HTTP")}
		}
		if s.Member == "" {
			req.Header.Set("Accept", "*/*")
		}
		for name, values := range s.Header {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
		return req, nil
	})
	if fail != nil {
		return "", unanswered(fail)
	}
	return judge(a, s.Member, "check the address, and what the platform wants of who asks there")
}

// String describes s without its header.
func (s URL) String() string {
	return fmt.Sprintf("workload.URL{address:%q header:%t}", wire.WithoutQuery(s.Address), len(s.Header) > 0)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (s URL) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, s.String()) }

// LogValue implements slog.LogValuer.
func (s URL) LogValue() slog.Value { return slog.StringValue(s.String()) }
