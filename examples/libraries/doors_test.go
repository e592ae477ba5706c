package libraries_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-github/v89/github"
	"golang.org/x/oauth2"
	googleoauth2 "google.golang.org/api/oauth2/v2"
	"google.golang.org/api/option"
	"google.golang.org/api/option/internaloption"
	googlehttp "google.golang.org/api/transport/http"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// A call makes one call of an API through a library.
type call func(context.Context) error

// An api is what the libraries call: its address, and the way there, which opens no
// socket, so that it works in a synctest bubble.
type api struct {
	url  string
	base http.RoundTripper
}

// byClient are libraries that take an HTTP client or a RoundTripper.
var byClient = map[string]func(api, *http.Client) (call, error){
	"net/http": func(a api, client *http.Client) (call, error) { return a.get(client), nil },
	"go-github: WithHTTPClient": func(a api, client *http.Client) (call, error) {
		return a.gitHub(client)
	},
	"google api: WithHTTPClient": func(a api, client *http.Client) (call, error) {
		return a.google(client)
	},
	"client-go: WrapTransport": func(a api, client *http.Client) (call, error) {
		return a.kubernetes(func(http.RoundTripper) http.RoundTripper { return client.Transport })
	},
}

// bySource are libraries that take a token source.
var bySource = map[string]func(api, oauth2.TokenSource) (call, error){
	"x/oauth2: NewClient": func(a api, source oauth2.TokenSource) (call, error) {
		return a.get(a.oauth2Client(source)), nil
	},
	"x/oauth2: ReuseTokenSource and Transport": func(a api, source oauth2.TokenSource) (call, error) {
		return a.get(&http.Client{Transport: &oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, source), Base: a.base}}), nil
	},
	"go-github over oauth2.NewClient": func(a api, source oauth2.TokenSource) (call, error) {
		return a.gitHub(a.oauth2Client(source))
	},
	"google api: WithTokenSource": func(a api, source oauth2.TokenSource) (call, error) {
		// Services that are generated switch this on. They take no base transport.
		return a.googleWith(option.WithTokenSource(source), internaloption.EnableNewAuthLibrary())
	},
	"google api: WithTokenSource, old library": func(a api, source oauth2.TokenSource) (call, error) {
		return a.googleWith(option.WithTokenSource(source))
	},
	"client-go: TokenSourceWrapTransport": func(a api, source oauth2.TokenSource) (call, error) {
		return a.kubernetes(transport.TokenSourceWrapTransport(source))
	},
	"client-go: NewCachedTokenSource": func(a api, source oauth2.TokenSource) (call, error) {
		return a.kubernetes(transport.ResettableTokenSourceWrapTransport(transport.NewCachedTokenSource(source)))
	},
}

// oauth2Client is what most libraries without a door of their own are given.
func (a api) oauth2Client(source oauth2.TokenSource) *http.Client {
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: a.base})
	return oauth2.NewClient(ctx, source)
}

func (a api) get(client *http.Client) call {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the API answers %d", resp.StatusCode)
		}
		return nil
	}
}

func (a api) gitHub(client *http.Client) (call, error) {
	base := a.url + "/"
	gh, err := github.NewClient(github.WithHTTPClient(client), github.WithURLs(&base, nil))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, _, err := gh.Users.Get(ctx, "")
		return err
	}, nil
}

func (a api) google(client *http.Client) (call, error) {
	service, err := googleoauth2.NewService(context.Background(), option.WithHTTPClient(client), option.WithEndpoint(a.url+"/"))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := service.Userinfo.Get().Context(ctx).Do()
		return err
	}, nil
}

// googleWith is google with the transport that the library makes from options.
func (a api) googleWith(options ...option.ClientOption) (call, error) {
	made, err := googlehttp.NewTransport(context.Background(), a.base, append(options, option.WithTelemetryDisabled())...)
	if err != nil {
		return nil, err
	}
	return a.google(&http.Client{Transport: made})
}

func (a api) kubernetes(wrap transport.WrapperFunc) (call, error) {
	client, err := rest.UnversionedRESTClientFor(&rest.Config{
		Host:          a.url,
		Transport:     a.base,
		WrapTransport: wrap,
		QPS:           -1, // its own limit is a matter of its own
		ContentConfig: rest.ContentConfig{NegotiatedSerializer: serializer.NewCodecFactory(runtime.NewScheme())},
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return client.Get().AbsPath("resource", "version").Do(ctx).Error() }, nil
}
