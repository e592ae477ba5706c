package worker

import (
	"context"
	"errors"
	"net/http"
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
	cfg    Config
	source oauth2.TokenSource
}

func (p *plain) Open(ctx context.Context) error {
	tok, err := saved.ReadToken(p.cfg.Dir)
	if err != nil {
		return err
	}
	p.source = p.over(tok, "")
	return nil
}

// over returns a source that has tok, which may be nil, and renews it when it has
// expired. The access token rejected is as good as expired.
func (p *plain) over(tok *oauth2.Token, rejected string) oauth2.TokenSource {
	return oauth2.ReuseTokenSource(tok, &savedSource{p.cfg, rejected})
}

// call takes a rejected token for an expired one: first what others have saved is
// tried, then a refresh.
func (p *plain) Call(ctx context.Context) error {
	var err error
	for range 3 {
		var tok *oauth2.Token
		if tok, err = p.source.Token(); err != nil {
			return withoutBody(err)
		}
		if err = p.fetch(ctx, tok); !errors.Is(err, errRejected) {
			return err
		}
		p.source = p.over(nil, tok.AccessToken)
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
	rejected string
}

func (s *savedSource) Token() (*oauth2.Token, error) {
	old, err := saved.ReadToken(s.cfg.Dir)
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
	return tok, saved.WriteToken(s.cfg.Dir, tok)
}
