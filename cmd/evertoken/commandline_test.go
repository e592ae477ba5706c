package main

import (
	"cmp"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
)

func noEnv(string) string { return "" }

// tokenLines are command lines that parseToken reads.
var tokenLines = [][]string{
	{"token"},
	{"token", "--dir", "/d"},
	{"token", "--dir", "d/../e"},
	{"token", "--dir", "~/d"},
	{"token", "--dir=/d=e"},
	{"--profile", "work", "token"},
	{"--profile", "token", "token", "--dir=token"},
	{"token", "-q"}, {"token", "--verbose"},
	{"token", "--min-valid=1m"}, {"token", "--wait", "1s"}, {"token", "--"},
}

// otherLines are some that it leaves to the parser of all commands.
var otherLines = [][]string{
	{}, {"status"}, {"--dir", "/d"}, {"token", "token"}, {"token", "x"}, {"token", "--dir"}, {"status", "--dir", "token"},
	{"token", "--dir", "--profile"}, {"token", "--help"}, {"token", "-h"}, {"token", "--version"},
	{"token", "--di", "/d"}, {"token", "-q", "-v"}, {"token", "--min-valid", "soon"}, {"help", "token"},
}

func TestTheParserOfTokenReadsNothingElse(t *testing.T) {
	for _, args := range tokenLines {
		if kctx, _ := newApp(nil, io.Discard, io.Discard, noEnv).parseToken(args); kctx == nil {
			t.Errorf("%q is left to the parser of all commands", args)
		}
		checkTokenLine(t, args)
	}
	for _, args := range otherLines {
		if kctx, _ := newApp(nil, io.Discard, io.Discard, noEnv).parseToken(args); kctx != nil {
			t.Errorf("%q is not left to the parser of all commands", args)
		}
	}
}

func FuzzTheParserOfTokenReadsAsTheOther(f *testing.F) {
	for _, args := range slices.Concat(tokenLines, otherLines) {
		f.Add(strings.Join(args, "\n"))
	}
	f.Fuzz(func(t *testing.T, lines string) { checkTokenLine(t, strings.Split(lines, "\n")) })
}

// checkTokenLine fails if parseToken reads a command line, and the parser of all
// commands reads it in another way.
func checkTokenLine(t *testing.T, args []string) {
	t.Helper()
	a := newApp(nil, io.Discard, io.Discard, noEnv)
	kctx, got := a.parseToken(args)
	if kctx == nil {
		return
	}
	whole, want, err := a.parseAll(args)
	if err != nil || whole == nil || whole.Command() != "token" || kctx.Command() != "token" {
		t.Fatalf("%q: the parser of all commands says %v; that of token reads it", args, err)
	}
	if *got != *want {
		t.Errorf("%q: got %+v, want %+v", args, got, want)
	}
	token, same := kctx.Selected().Target.Interface().(tokenCmd), whole.Selected().Target.Interface().(tokenCmd)
	if !reflect.DeepEqual(token, same) {
		t.Errorf("%q: got %+v, want %+v", args, token, same)
	}
}

func TestAMistakenCommandLineSaysWhereToLook(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"nonsense"}, `see "evertoken help"`},
		{[]string{"status", "--nonsense"}, `see "evertoken help status"`},
		{[]string{"curl", "-d", "x", "https://api.example.com"}, `the URL comes first, and curl's options after it: see "evertoken help curl"`},
		{[]string{"login", "--issuer"}, `--issuer needs a value: see "evertoken help login"`},
		{[]string{"token", "--min-valid"}, `--min-valid needs a value: see "evertoken help token"`},
		{[]string{"login", "--client-auth", "basic", "--issuer", "https://x", "--client-id", "id"}, `--client-auth: got "basic", want one of none, client_secret_basic`},
		{[]string{"mcp", "list", "--store", "vault"}, `--store: got "vault", want keyring or file: see "evertoken help mcp list"`},
		{[]string{"mcp", "list", "--nonsense"}, `see "evertoken help mcp list"`},
		{[]string{"mcp", "https://mcp.example.com", "--nonsense"}, `see "evertoken help mcp connect"`},
		{[]string{"login", "--timeout", "0", "--issuer", "https://login.example.com", "--client-id", "id"}, `must be more than 0: see "evertoken help login"`},
		{[]string{"get", "me"}, `give a whole URL, such as https://api.example.com/me: see "evertoken help get"`},
		{[]string{"mcp", "logout", "me"}, `see "evertoken help mcp logout"`},
		{[]string{"login", "https://login.example.com", "--client-id", "my cli"}, `follow --issuer: run "evertoken login --issuer https://login.example.com --client-id 'my cli'"`},
	} {
		var stderr strings.Builder
		if code := run(t.Context(), tt.args, strings.NewReader(""), io.Discard, &stderr, noEnv); code != exit.Usage || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("%q: exit code %d, %q; want %d and %q in it", tt.args, code, &stderr, exit.Usage, tt.want)
		}
	}
}

func TestEveryHelpTextHasAnExample(t *testing.T) {
	commands := []string{""}
	for field := range reflect.TypeFor[cli]().Fields() {
		if _, ok := field.Tag.Lookup("cmd"); ok {
			commands = append(commands, strings.ToLower(field.Name))
		}
	}
	if len(commands) < 10 {
		t.Fatalf("only %q were found", commands)
	}
	for _, command := range commands {
		var out strings.Builder
		code := run(t.Context(), append(strings.Fields(command), "--help"), strings.NewReader(""), &out, io.Discard, noEnv)
		if code != exit.OK || !regexp.MustCompile(`(?m)^Example:\n\n    evertoken `+cmp.Or(command, "login")).MatchString(out.String()) {
			t.Errorf("%s --help: exit code %d, and no example in\n%s", command, code, &out)
		}
	}
}
