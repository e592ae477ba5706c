package oauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

const shown = "head.pay-load.sig"

// presentations are the ways in which APIs want a token, and what a request carries then.
var presentations = []struct {
	way  oauth.Presentation
	want http.Header
}{
	{oauth.Presentation{}, http.Header{"Authorization": {"Bearer " + shown}}},
	{oauth.Presentation{Scheme: "JWT"}, http.Header{"Authorization": {"JWT " + shown}}},
	{oauth.Presentation{Scheme: "token"}, http.Header{"Authorization": {"token " + shown}}},
	{oauth.Presentation{Header: "authorization"}, http.Header{"Authorization": {shown}}},
	{oauth.Presentation{Header: "x-token"}, http.Header{"X-Token": {shown}}},
	{oauth.Presentation{Header: "X-Auth", Scheme: "Token"}, http.Header{"X-Auth": {"Token " + shown}}},
	{oauth.Presentation{Cookie: "jwt"}, http.Header{"Cookie": {"jwt=" + shown}}},
	{oauth.Presentation{Cookie: "at", SignatureCookie: "at_signature"}, http.Header{"Cookie": {"at=head.pay-load; at_signature=sig"}}},
}

func TestATokenIsPresentedAsTheAPIWantsIt(t *testing.T) {
	for _, tt := range presentations {
		if err := tt.way.Check(); err != nil {
			t.Errorf("%+v: %v", tt.way, err)
		}
		h := http.Header{}
		for range 2 { // the second takes the place of the first
			if err := tt.way.Set(h, shown); err != nil || fmt.Sprint(h) != fmt.Sprint(tt.want) {
				t.Errorf("%+v: %v, %v; want %v", tt.way, h, err, tt.want)
			}
		}
		if has := tt.way.Has(h); has != (tt.way.Cookie == "") {
			t.Errorf("%+v: carries a token already: %v", tt.way, has)
		}
		if tt.way.Has(http.Header{}) {
			t.Errorf("%+v: an empty header carries a token", tt.way)
		}
	}
}

func TestCookiesOfTheProgramStayBesideTheToken(t *testing.T) {
	h := http.Header{"Cookie": {"lang=de; at=stale", "at_signature=stale; theme=dark"}}
	if err := (oauth.Presentation{Cookie: "at", SignatureCookie: "at_signature"}).Set(h, shown); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(h["Cookie"], "|"); got != "lang=de; theme=dark; at=head.pay-load; at_signature=sig" {
		t.Errorf("cookies %q", got)
	}
	opaque := http.Header{}
	if err := (oauth.Presentation{Cookie: "at", SignatureCookie: "s"}).Set(opaque, "opaque"); err != nil || opaque.Get("Cookie") != "at=opaque" {
		t.Errorf("a token that is not a JWT: %v, %v", opaque, err)
	}
}

func TestMistakesInAPresentationAreReported(t *testing.T) {
	for _, way := range []oauth.Presentation{
		{Header: "X-Token", Cookie: "at"}, {Scheme: "JWT", Cookie: "at"}, {SignatureCookie: "s"}, {Cookie: "s", SignatureCookie: "s"},
		{Header: "Cookie"}, {Header: "host"}, {Header: "content-length"}, {Header: "X Token"}, {Header: "X-Token\r\nEvil"}, {Scheme: "JWT Bearer"}, {Cookie: "a=b"}, {Scheme: "none"},
	} {
		if err := way.Check(); !errors.Is(err, oauth.ErrMisconfigured) {
			t.Errorf("%+v: %v; want ErrMisconfigured", way, err)
		}
	}
	for _, token := range []string{"", "a\r\nEvil: 1", "ä", "a; admin=1"} {
		h := http.Header{}
		if err := (oauth.Presentation{Cookie: "at"}).Set(h, token); !errors.Is(err, oauth.ErrMisconfigured) || len(h) != 0 || token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("token %q: %v, %v", token, h, err)
		}
	}
}
