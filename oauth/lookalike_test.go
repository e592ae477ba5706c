package oauth_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/register"
)

// An error that tells a person to use a server's own spelling shows what that is made of.
func TestF94_AddressesInErrorsOfMetadataAreShownInASCII(t *testing.T) {
	const a = "\u0430" // looks like the Latin letter
	client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		body := `{"resource":"https://` + a + `pi.test/x","issuer":"https://` + a + `uth.test","authorization_servers":["https://auth.test"]}`
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})}
	cfg := oauth.Config{ClientID: "program", HTTPClient: client}
	_, ofAPI := oauth.DiscoverChallenged(t.Context(), "https://api.test/x", nil, cfg)
	_, ofServer := oauth.Discover(t.Context(), "https://auth.test", cfg)
	_, ofClient := register.For(t.Context(), "https://"+a+"uth.test", register.Options{Given: []*register.Registration{{ClientID: "c", Issuer: "https://auth.test"}}}, cfg)
	for _, err := range []error{ofAPI, ofServer, ofClient} {
		for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", err)} {
			if strings.Contains(text, a) || !strings.Contains(text, "xn--") {
				t.Errorf("%s; want the host with xn--", text)
			}
		}
	}
}
