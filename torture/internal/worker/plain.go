package worker

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/saved"
)

// A plain is a program with golang.org/x/oauth2 that saves its token, as careful
// people write it: it reads the file again before it refreshes, saves by a
// temporary file and a rename, and takes a 401 for an expiry. What it does not have
// is a lock, a way to tell that it died half way, and an orderly end.
type plain struct {
	cfg Config

	mu      sync.Mutex // guards sources
	sources map[string]oauth2.TokenSource
}

func (p *plain) Open(context.Context) error {
	names := p.cfg.Sessions
	if len(names) == 0 {
		names = []string{""}
	}
	p.sources = make(map[string]oauth2.TokenSource)
	for _, name := range names {
		tok, err := saved.ReadToken(p.cfg.Dir, name)
		if err != nil {
			return err
		}
		p.sources[name] = p.over(tok, name, "")
	}
	return nil
}

// over returns a source that has tok, which may be nil, and renews it when it has
// expired. The access token rejected is as good as expired.
func (p *plain) over(tok *oauth2.Token, session, rejected string) oauth2.TokenSource {
	return oauth2.ReuseTokenSource(tok, &savedSource{p.cfg, session, rejected})
}

// Call takes a rejected token for an expired one: first what others have saved is
// tried, then a refresh.
func (p *plain) Call(ctx context.Context, session string) error {
	var err error
	for range 3 {
		p.mu.Lock()
		source := p.sources[session]
		p.mu.Unlock()
		var tok *oauth2.Token
		if tok, err = source.Token(); err != nil {
			return withoutBody(err)
		}
		if err = p.fetch(ctx, tok); !errors.Is(err, errRejected) {
			return err
		}
		p.mu.Lock()
		if p.sources[session] == source { // another caller may have been faster
			p.sources[session] = p.over(nil, session, tok.AccessToken)
		}
		p.mu.Unlock()
	}
	return err
}

func (p *plain) fetch(ctx context.Context, tok *oauth2.Token) error {
	// Its own Transport would ask the source, which this does already.
	return fetch(ctx, &http.Client{Transport: bearer(tok.AccessToken)}, p.cfg.API)
}

// withoutBody leaves the server's body out of an error of x/oauth2.
func withoutBody(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return errors.New("x/oauth2: the server refuses the refresh token: " + refused.ErrorCode)
	}
	return err
}

// A bearer is a RoundTripper that sends an access token along.
type bearer string

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(req)
}

// A savedSource renews the token in a file.
type savedSource struct {
	cfg      Config
	session  string
	rejected string
}

func (s *savedSource) Token() (*oauth2.Token, error) {
	old, err := saved.ReadToken(s.cfg.Dir, s.session)
	if err != nil {
		return nil, err
	}
	if old.AccessToken == s.rejected {
		old.Expiry = time.Now().Add(-time.Hour)
	}
	cfg := oauth2.Config{
		ClientID: oauthtest.DefaultClientID,
		Endpoint: oauth2.Endpoint{TokenURL: s.cfg.TokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
	tok, err := cfg.TokenSource(context.Background(), old).Token()
	if err != nil || tok.AccessToken == old.AccessToken {
		return tok, err
	}
	return tok, saved.WriteToken(s.cfg.Dir, s.session, tok)
}
