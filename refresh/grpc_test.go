package refresh_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

func TestF92_GRPCCallsCarryTheTokenToTheAllowedOriginsAlone(t *testing.T) {
	for _, tt := range []struct {
		origins  []string
		insecure bool
		uri      []string
		carries  bool
	}{
		{nil, false, []string{"https://api.test/auth.v1.Auth"}, true},
		{nil, false, nil, true},
		{[]string{"https://api.test"}, false, []string{"https://api.test/auth.v1.Auth"}, true},
		{[]string{"https://api.test:443"}, false, []string{"https://API.test/auth.v1.Auth"}, true},
		{[]string{"https://api.test:8443"}, false, []string{"https://api.test:8443/auth.v1.Auth"}, true},
		{[]string{"https://[2001:db8::1]:8443"}, false, []string{"https://[2001:db8:0::1]:8443/auth.v1.Auth"}, true},
		{[]string{refresh.AnyOrigin}, false, []string{"https://api.test/auth.v1.Auth"}, true},
		{[]string{refresh.AnyOrigin}, false, nil, true},
		{[]string{"https://api.test"}, false, []string{"https://evil.test/auth.v1.Auth"}, false},
		{[]string{"https://api.test"}, false, []string{"https://api.test:8443/auth.v1.Auth"}, false},
		{[]string{"https://api.test"}, false, []string{"https://api.test/auth.v1.Auth", "https://evil.test/auth.v1.Auth"}, false},
		{[]string{"https://api.test"}, false, []string{"https://api.test@evil.test/auth.v1.Auth"}, false},
		{[]string{"https://api.test"}, false, []string{""}, false},
		{[]string{"https://api.test"}, false, []string{"api.test"}, false},
		{[]string{"https://api.test"}, false, []string{"https://%zz"}, false},
		{[]string{"https://api.test"}, false, nil, false},
		{nil, false, []string{"http://api.test/auth.v1.Auth"}, false},
		{nil, false, []string{""}, false},
		{nil, false, []string{"https://api.test@evil.test/auth.v1.Auth"}, false},
		{[]string{"http://localhost:50051"}, false, []string{"https://localhost:50051/auth.v1.Auth"}, false},
		// gRPC says https whatever the connection is like.
		{[]string{"http://localhost:50051"}, true, []string{"https://localhost:50051/auth.v1.Auth"}, true},
		{[]string{"https://localhost:50051"}, true, []string{"https://localhost:50051/auth.v1.Auth"}, true},
		{[]string{"http://api.internal"}, true, []string{"https://api.internal:80/auth.v1.Auth"}, true},
		{nil, true, []string{"https://api.internal:50051/auth.v1.Auth"}, true},
		{[]string{"http://localhost:50051"}, true, []string{"https://localhost:50052/auth.v1.Auth"}, false},
		{[]string{"http://localhost:50051"}, true, []string{"https://evil.test:50051/auth.v1.Auth"}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, oauthtest.Config{}, withOrigins(tt.origins...), func(cfg *refresh.Config) { cfg.InsecurePlaintextGRPC = tt.insecure }).start(t)
			md, err := f.GetRequestMetadata(t.Context(), tt.uri...)
			switch {
			case tt.carries && (err != nil || md["authorization"] != "Bearer "+f.first.AccessToken):
				t.Errorf("%q, allowed %q: %v", tt.uri, tt.origins, err)
			case !tt.carries && (!errors.Is(err, oauth.ErrMisconfigured) || md != nil):
				t.Errorf("%q, allowed %q: error %v, metadata %v", tt.uri, tt.origins, err, md != nil)
			}
		})
	}
}

// HTTP and gRPC have one first origin.
func TestF92_FirstOriginIsOneForHTTPAndGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}).start(t)
		_, w := f.wired()
		everywhere{}.on(w)
		if _, err := f.GetRequestMetadata(t.Context(), "https://api.test/auth.v1.Auth"); err != nil {
			t.Fatal(err)
		}
		refusedFor(t, try(t, f.Transport(w), "https://evil.test/"), "https://api.test", "https://evil.test")
		if err := try(t, f.Transport(w), "https://api.test/"); err != nil {
			t.Error(err)
		}
		_, err := f.GetRequestMetadata(t.Context(), "https://evil.test/auth.v1.Auth")
		refusedFor(t, err, "https://api.test", "https://evil.test")
	})
}

func TestPlaintextGRPCIsToBeAskedFor(t *testing.T) {
	if m := refresh.NewManager(refresh.Config{}); !m.RequireTransportSecurity() {
		t.Error("gRPC would send the token in the clear")
	}
	if m := refresh.NewManager(refresh.Config{InsecurePlaintextGRPC: true}); m.RequireTransportSecurity() {
		t.Error("the switch has no effect")
	}
}
