package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore/keyring"
)

func testApp(t *testing.T) *app {
	t.Helper()
	dir := t.TempDir()
	return &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard,
		getenv: func(name string) string {
			return map[string]string{"EVERTOKEN_DIR": dir, "BROWSER": "browser"}[name]
		},
		common: common{Profile: "work", Dir: dir},
		openKeyring: func(context.Context, string) (stores.Backend, error) {
			t.Error("the keyring was opened")
			return nil, keyring.ErrNoKeyring
		}}
}

func TestAdviceAfterARejectedTokenFollowsTheSession(t *testing.T) {
	resp := &http.Response{StatusCode: http.StatusUnauthorized, Status: "401 Unauthorized"}
	for state, next := range map[refresh.State]string{
		refresh.StateValid:         "with other scopes",
		refresh.StateLoginRequired: `run "evertoken login`,
		refresh.StateLoggedOut:     `run "evertoken login`,
	} {
		var p *exit.Problem
		if err := new(getCmd).verdict(testApp(t), resp, state); !errors.As(err, &p) || p.Code != exit.Login || !strings.Contains(p.Next, next) {
			t.Errorf("%s: %v; want exit code %d, %q", state, err, exit.Login, next)
		}
	}
}

func TestLoginAdviceNamesOnlyWhatIsNotRemembered(t *testing.T) {
	a := testApp(t)
	if err := a.saveProfile(&profile.Profile{Format: profile.Format, ClientID: "id", TokenURL: "https://x/token"}); err != nil {
		t.Fatal(err)
	}
	if got, want := a.guide().LoginAdvice(), `run "evertoken login --profile work"`; got != want {
		t.Errorf("advice %q; want %q", got, want)
	}
}

func TestNextCommandsComeWhole(t *testing.T) {
	a := testApp(t)
	a.getenv = noEnv
	a.Dir = "/some where"
	if got, want := a.command("status"), `"evertoken status --dir '/some where' --profile work"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	a = testApp(t)
	a.server, a.client = "https://login.example.com", "my-cli"
	if got, want := a.loginCommand(false, "--device"), `"evertoken login --profile work --issuer https://login.example.com --client-id my-cli --device"`; got != want {
		t.Errorf("with flags: got %s, want %s", got, want)
	}
	a.server, a.client = "", ""
	p := &profile.Profile{Format: profile.Format, ClientID: "it's mine", AuthURL: "https://x/authorize", TokenURL: "https://x/token"}
	if err := a.saveProfile(p); err != nil {
		t.Fatal(err)
	}
	if got, want := a.loginCommand(true), `"evertoken login --profile work --auth-url https://x/authorize --token-url https://x/token --client-id 'it'\''s mine'"`; got != want {
		t.Errorf("of a profile: got %s, want %s", got, want)
	}
}

func TestCommandsAfterALoginRepeatItsFlags(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"login --issuer https://x --client-id id --scope a,b --store file --auth-param audience=x&y", `--issuer https://x --client-id id --scope a,b --auth-param 'audience=x&y' --store keyring`},
		{"-q --profile work login --issuer=https://x --client-id=id --store=file --no-browser", `--issuer https://x --client-id id --no-browser --store keyring`},
		{"login --device --issuer https://x --client-id id", `--issuer https://x --client-id id --device --store keyring`},
	} {
		a := testApp(t)
		a.server, a.client, a.typed = "https://x", "id", loginFlags(strings.Fields(tt.args))
		if got, want := a.loginCommand(false, "--store keyring"), `"evertoken login --profile work `+tt.want+`"`; got != want {
			t.Errorf("%s: got %s, want %s", tt.args, got, want)
		}
	}
}

func TestAFlagWithoutAValueTakesNoneAway(t *testing.T) {
	words := []string{"--device", "--scope", "a", "--store=file"}
	if got, want := without(words, "--device", "--store"), []string{"--scope", "a"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for field := range reflect.TypeFor[loginCmd]().Fields() {
		isSwitch := field.Type == reflect.TypeFor[bool]()
		name := "--" + cmp.Or(field.Tag.Get("name"), strings.ToLower(regexp.MustCompile(`(\w)([A-Z][a-z])`).ReplaceAllString(field.Name, "$1-$2")))
		if isSwitch && !slices.Contains(switches, name) {
			t.Errorf("%s has no value and is not listed", name)
		}
	}
}

func TestFlagsThatErrorsNameAreFlagsOfALogin(t *testing.T) {
	a := testApp(t)
	var help strings.Builder
	a.stdout = &help
	if _, _, err := a.parse([]string{"login", "--help"}); err != nil {
		t.Fatal(err)
	}
	for field, flag := range explain.Flags {
		if !regexp.MustCompile(`(?m)^ +(-\w, )?` + flag + `\b`).MatchString(strings.ReplaceAll(help.String(), "[no-]", "")) {
			t.Errorf("%s: a login has no flag %s", field, flag)
		}
	}
}

// profilePath returns the file of the current profile.
func (a *app) profilePath() (string, error) {
	file, err := a.file()
	return file.Path(), err
}
