package main

import (
	"context"
	"errors"
	"io"
	"net/url"
	"reflect"
	"testing"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/oauth"
)

func TestProfileRemembersAllOfItsClient(t *testing.T) {
	want := &profile.Profile{
		Format: profile.Format, Issuer: "https://x", ClientID: "id", ClientAuth: "none",
		AuthURL: "https://x/a", TokenURL: "https://x/t", DeviceAuthURL: "https://x/d", RevocationURL: "https://x/r",
		RedirectURL: "http://127.0.0.1:1/", Scopes: []string{"openid"}, AuthParams: url.Values{"prompt": {"consent"}}, RequireIss: true,
	}
	cfg, err := want.Config()
	if err != nil {
		t.Fatal(err)
	}
	if got := profile.Of(cfg, ""); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

func TestWhoHasLoggedInIsAskedOfOpenIDOnly(t *testing.T) {
	for _, c := range []struct {
		granted, idToken string
		asked            []string
		want             bool
	}{
		{granted: "profile openid", want: true},
		{idToken: "i", want: true},
		{asked: []string{"openid"}, want: true},
		{granted: "profile", asked: []string{"openid"}},
		{granted: "profile openid2"},
		{},
	} {
		if got := isOpenID(&oauth.TokenPair{Scope: c.granted, IDToken: c.idToken}, c.asked); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

func TestLinePastedLaterGoesToTheLoginThatWaits(t *testing.T) {
	in, out := io.Pipe()
	read := lineReader(in)

	first, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := read(first)
		ended <- err
	}()
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the login that ended got error %v; want that of its context", err)
	}

	go func() {
		_, _ = io.WriteString(out, "one\ntwo\nthree")
		_ = out.Close()
	}()
	for _, want := range []string{"one\n", "two\n", "three"} {
		if got, err := read(t.Context()); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if _, err := read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after the last line: error %v; want io.EOF", err)
	}
}
