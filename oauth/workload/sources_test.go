package workload_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/workload"
)

func TestVariableIsReadEachTime(t *testing.T) {
	const name = "EVERTOKEN_ID_TOKEN"
	v := workload.Variable{Name: name}
	for _, token := range []string{aToken, "e30.e31.c2VjcmV0", "\n" + aToken + "\n"} {
		t.Setenv(name, token)
		if got, err := v.Token(t.Context()); err != nil || got != strings.TrimSpace(token) {
			t.Errorf("got %q, %v; want %q", got, err, token)
		}
	}
	for platform, says := range map[string]string{
		"GITLAB_CI": "id_tokens: EVERTOKEN_ID_TOKEN: aud", "BITBUCKET_BUILD_NUMBER": "oidc: true", "CIRCLECI": "CIRCLE_OIDC_TOKEN_V2", "": "have the platform set it",
	} {
		for _, other := range []string{"GITLAB_CI", "BITBUCKET_BUILD_NUMBER", "CIRCLECI"} {
			t.Setenv(other, "")
		}
		if platform != "" {
			t.Setenv(platform, "true")
		}
		for content, problem := range map[string]string{"": "has no " + name, " \n": "has no " + name, secret: "not a JWT", "a.b." + secret + ".": "not a JWT"} {
			t.Setenv(name, content)
			_, err := v.Token(t.Context())
			wantFailure(t, platform, err, oauth.ErrMisconfigured, problem)
			wantFailure(t, platform, err, oauth.ErrMisconfigured, says)
		}
	}
	_, err := workload.Variable{}.Token(t.Context())
	wantFailure(t, "no name", err, oauth.ErrMisconfigured, "Name is empty")
}

func TestURLIsAskedAsThePlatformWants(t *testing.T) {
	for name, tt := range map[string]struct {
		source workload.URL
		answer string
		method string
		accept string
	}{
		"the token alone": {workload.URL{}, aToken + "\n", "GET", "*/*"},
		"in a member":     {workload.URL{Method: "POST", Member: "oidcToken", Header: http.Header{"authorization": {"Bearer " + secret}}}, `{"oidcToken":"` + aToken + `"}`, "POST", "application/json"},
		"by a header":     {workload.URL{Header: http.Header{"Accept": {"text/plain"}, "Authorization": {"Bearer " + secret}}}, aToken, "GET", "text/plain"},
	} {
		var got *http.Request
		platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r
			fmt.Fprint(w, tt.answer)
		}))
		tt.source.Address = platform.URL + "/token?api-version=1"
		token, err := tt.source.Token(t.Context())
		platform.Close()
		if err != nil || token != aToken {
			t.Errorf("%s: got %q, %v", name, token, err)
			continue
		}
		wants := 0
		for header, values := range tt.source.Header {
			if strings.EqualFold(header, "Authorization") {
				wants += len(values)
			}
		}
		if got.Method != tt.method || got.Header.Get("Accept") != tt.accept || len(got.Header["Authorization"]) != wants || got.URL.RawQuery != "api-version=1" || got.ContentLength != 0 {
			t.Errorf("%s: asked by %s %s with %v", name, got.Method, got.URL, got.Header)
		}
	}
}

func TestWhatAPlatformAnswersInPlaceOfATokenIsSaid(t *testing.T) {
	for name, tt := range answersOfPlatforms {
		platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tt.header != "" {
				w.Header().Set("Retry-After", tt.header)
			}
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.body)
		}))
		for _, member := range []string{"value", ""} {
			_, err := workload.URL{Address: platform.URL, Member: member}.Token(t.Context())
			wantFailure(t, name, err, tt.want, tt.says)
		}
		platform.Close()
	}
	for address, says := range map[string]string{
		"": "is empty", "http://169.254.169.254/token": "must be https", "http://metadata.test/": "must be https", "https://x.test/#a": "fragment", "x": "absolute",
	} {
		_, err := workload.URL{Address: address}.Token(t.Context())
		wantFailure(t, address, err, oauth.ErrMisconfigured, says)
	}
	_, err := workload.URL{Address: "https://x.test/", Method: "G E T"}.Token(t.Context())
	wantFailure(t, "a method that is none", err, oauth.ErrMisconfigured, "Method")
}

func TestURLPrintsWithoutItsSecrets(t *testing.T) {
	for _, address := range []string{"https://platform.test/token?key=" + secret, "https://job:" + secret + "@platform.test/token", "https://" + secret + "@platform.test"} {
		source := workload.URL{Address: address, Header: http.Header{"Authorization": {secret}}}
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "source", source)
		for _, text := range []string{fmt.Sprint(source), fmt.Sprintf("%+v %#v %q", source, source, &source), log.String()} {
			if strings.Contains(text, secret) || !strings.Contains(text, "platform.test") {
				t.Errorf("prints as %s", text)
			}
		}
	}
}

func TestCommandWritesTheToken(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(as string, args ...string) (string, error) {
		t.Setenv(asCommand, as)
		return workload.Command{Args: append([]string{program}, args...)}.Token(t.Context())
	}
	if token, err := run("token"); err != nil || token != aToken {
		t.Errorf("got %q, %v", token, err)
	}
	if token, err := run("its audience", "--audience", "a.b$HOME.c"); err == nil || token != "" {
		t.Errorf("a shell was involved, or what is not a JWT was taken: %q", token)
	}
	if token, err := run("its audience", "--audience", aToken); err != nil || token != aToken {
		t.Errorf("got %q, %v", token, err)
	}
	for as, tt := range map[string]struct {
		want error
		says string
	}{
		"nothing":        {oauth.ErrTransient, "wrote nothing"},
		"something else": {oauth.ErrMisconfigured, "not a JWT"},
		"too much":       {oauth.ErrMisconfigured, "not a JWT"},
		"failure":        {oauth.ErrTransient, "run it by hand"},
	} {
		_, err := run(as)
		wantFailure(t, as, err, tt.want, tt.says)
	}
}

func TestCommandThatCannotRunOrDoesNotEnd(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"none": nil, "empty": {""}, "missing": {filepath.Join(t.TempDir(), "missing")}, "not in the path": {"evertoken-no-such-program"}, "a directory": {t.TempDir()},
	} {
		_, err := workload.Command{Args: args}.Token(t.Context())
		wantFailure(t, name, err, oauth.ErrMisconfigured, "")
	}
	t.Setenv(asCommand, "hang")
	_, err = workload.Command{Args: []string{program}, Timeout: 100 * time.Millisecond}.Token(t.Context())
	wantFailure(t, "hangs", err, oauth.ErrTransient, "did not end within 100ms")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = workload.Command{Args: []string{program}}.Token(ctx)
	wantFailure(t, "left", err, oauth.ErrTransient, "cancel")
}
