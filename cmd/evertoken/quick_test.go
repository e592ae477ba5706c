package main

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

func noEnv(string) string { return "" }

// quickApp is what main has, but for a keyring that must not be opened.
func quickApp(t *testing.T, stdout, stderr io.Writer, getenv func(string) string) *app {
	a := newApp(nil, stdout, stderr, getenv)
	a.openKeyring = testApp(t).openKeyring
	return a
}

// A savedLogin is what quick finds.
type savedLogin struct {
	profile profile
	pair    *oauth.TokenPair // nil: none
	damaged string           // file of the session, instead
	client  string           // whose session it is; empty: the profile's
}

// living is a login to a plain file with a token that lives for an hour.
func living() savedLogin {
	now := time.Now()
	return savedLogin{
		profile: profile{Format: profileFormat, ClientID: "id", TokenURL: "https://auth.test/token", Store: storeFile},
		pair:    &oauth.TokenPair{AccessToken: "at-secret", RefreshToken: "rt-secret", IssuedAt: now, ExpiresAt: now.Add(time.Hour)},
	}
}

// save leaves the login in a new directory.
func (l savedLogin) save(t *testing.T) (dir string) {
	t.Helper()
	a := testApp(t)
	a.profile = defaultProfile
	if err := a.saveProfile(&l.profile); err != nil {
		t.Fatal(err)
	}
	switch {
	case l.damaged != "":
		if err := os.WriteFile(filepath.Join(a.dir, "default.json"), []byte(l.damaged), 0o600); err != nil {
			t.Fatal(err)
		}
	case l.pair != nil:
		store := openBound(t, a.dir, cmp.Or(l.client, l.profile.binding()))
		if _, err := store.Set(t.Context(), defaultProfile, &tokenstore.Record{Tokens: l.pair}); err != nil {
			t.Fatal(err)
		}
	}
	return a.dir
}

// ran is what a command leaves behind for who ran it.
type ran struct {
	code           int
	stdout, stderr string
}

func TestAQuickAnswerIsTheUsualOne(t *testing.T) {
	p := living().profile
	for name, l := range map[string]savedLogin{
		"living":                 living(),
		"an end that is unknown": {profile: p, pair: &oauth.TokenPair{AccessToken: "at-secret"}},
		"another client's":       {profile: p, pair: living().pair, client: "another"},
		"no session":             {profile: p},
		"a damaged session":      {profile: p, damaged: "half"},
		"one of a newer version": {profile: p, damaged: `{"format":99}`},
	} {
		t.Run(name, func(t *testing.T) {
			var got, want ran
			var stdout, stderr bytes.Buffer
			dir := l.save(t)
			answer := quickApp(t, &stdout, &stderr, noEnv).quick([]string{"token", "--dir", dir})
			if answer == nil {
				t.Fatal("there is no quick answer")
			}
			if stdout.Len()+stderr.Len() > 0 {
				t.Error("something was printed before the answer was asked for")
			}
			got.code = answer()
			got.stdout, got.stderr = stdout.String(), masked(stderr.String(), dir)
			stdout.Reset()
			stderr.Reset()
			dir = l.save(t)
			want.code = run(t.Context(), []string{"token", "--dir", dir}, strings.NewReader(""), &stdout, &stderr, noEnv)
			want.stdout, want.stderr = stdout.String(), masked(stderr.String(), dir)
			if got != want {
				t.Errorf("quick: exit code %d, stdout %q, stderr %q; usually %d, %q, %q",
					got.code, got.stdout, got.stderr, want.code, want.stdout, want.stderr)
			}
			if served := l.pair != nil && l.client == ""; served != (got.stdout == "at-secret\n") {
				t.Errorf("stdout %q; want a token: %v", got.stdout, served)
			}
		})
	}
}

// masked takes out of a message what differs from run to run.
func masked(message, dir string) string {
	message = strings.ReplaceAll(message, dir, "DIR")
	return regexp.MustCompile(`damaged-[0-9A-Za-z.-]+`).ReplaceAllString(message, "damaged-TIME")
}

func TestWhatTakesMoreThanReadingAFileHasNoQuickAnswer(t *testing.T) {
	due := living()
	due.pair.IssuedAt = time.Now().Add(-time.Hour)
	due.pair.ExpiresAt = time.Now().Add(time.Minute)
	dead := living()
	dead.pair.ExpiresAt = time.Now().Add(-time.Second)
	short := living() // a third of its life is less than the usual lead
	short.pair.IssuedAt = time.Now().Add(-time.Minute)
	short.pair.ExpiresAt = time.Now().Add(20 * time.Second)
	sealed, secret, foreign := living(), living(), living()
	sealed.profile.Store = storeKeyring
	secret.profile.SecretFile = filepath.Join(t.TempDir(), "gone")
	foreign.profile.Format = profileFormat + 1
	for name, c := range map[string]struct {
		login savedLogin
		args  []string
	}{
		"a token that is due":          {due, nil},
		"a dead one":                   {dead, nil},
		"a short one that is due":      {short, nil},
		"a session behind the keyring": {sealed, nil},
		"a client secret that is gone": {secret, nil},
		"a newer profile":              {foreign, nil},
		"another profile":              {living(), []string{"--profile", "other"}},
		"--min-valid":                  {living(), []string{"--min-valid", "10m"}},
		"--verbose":                    {living(), []string{"--verbose"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			args := append([]string{"token", "--dir", c.login.save(t)}, c.args...)
			if quickApp(t, &out, &out, noEnv).quick(args) != nil {
				t.Error("there is a quick answer; want run to do the work")
			}
			if out.Len() > 0 {
				t.Errorf("printed %q; want nothing", &out)
			}
		})
	}
}

func TestAProfileOfAForbiddenNameHasNoQuickAnswer(t *testing.T) {
	dir := living().save(t)
	profiles := filepath.Join(dir, "profiles")
	if err := os.Rename(filepath.Join(profiles, "client-default.json"), filepath.Join(profiles, "client-WORK.json")); err != nil {
		t.Fatal(err)
	}
	if quickApp(t, io.Discard, io.Discard, noEnv).quick([]string{"token", "--dir", dir, "--profile", "WORK"}) != nil {
		t.Error("there is a quick answer; want run to refuse the name")
	}
}

func TestQuickMindsTheEnvironment(t *testing.T) {
	dir := living().save(t)
	env := map[string]string{"EVERTOKEN_DIR": dir}
	getenv := func(name string) string { return env[name] }
	if quickApp(t, io.Discard, io.Discard, getenv).quick([]string{"token"}) == nil {
		t.Error("EVERTOKEN_DIR is ignored")
	}
	env["EVERTOKEN_PROFILE"] = "other"
	if quickApp(t, io.Discard, io.Discard, getenv).quick([]string{"token"}) != nil {
		t.Error("EVERTOKEN_PROFILE is ignored")
	}
}

// quickLines are command lines that quickLine reads itself.
var quickLines = [][]string{
	{"token"},
	{"token", "--dir", "/d"},
	{"token", "--dir", "d/../e"},
	{"token", "--dir", "~/d"},
	{"token", "--dir=/d=e"},
	{"--profile", "work", "token"},
	{"--profile", "token", "token", "--dir=token"},
}

// otherLines are some that it leaves to the parser.
var otherLines = [][]string{
	{}, {"status"}, {"--dir", "/d"}, {"token", "token"}, {"token", "x"}, {"token", "-q"}, {"token", "--dir"}, {"token", "--dir="},
	{"token", "--dir", "-"}, {"token", "--dir", "--profile"}, {"token", "--dir=/d", "--dir=/e"}, {"token", "--profile=a", "--profile=b"}, {"token", "--dir", "\xd1"}, {"token", "--help"},
	{"--", "token"}, {"token", "--"}, {"token", "--di", "/d"}, {"token", "--min-valid=1m"}, {"token", "--wait", "1s"},
}

func TestQuickLineReadsWhatScriptsWrite(t *testing.T) {
	for _, args := range quickLines {
		if _, ok := quickLine(args); !ok {
			t.Errorf("%q is left to the parser", args)
		}
		checkQuickLine(t, args)
	}
	for _, args := range otherLines {
		if _, ok := quickLine(args); ok {
			t.Errorf("%q is not left to the parser", args)
		}
	}
}

func FuzzQuickLineReadsAsTheParser(f *testing.F) {
	for _, args := range slices.Concat(quickLines, otherLines) {
		f.Add(strings.Join(args, "\n"))
	}
	f.Fuzz(func(t *testing.T, lines string) { checkQuickLine(t, strings.Split(lines, "\n")) })
}

// checkQuickLine fails if quickLine reads a command line, and the parser reads it
// in another way.
func checkQuickLine(t *testing.T, args []string) {
	t.Helper()
	got, ok := quickLine(args)
	if !ok {
		return
	}
	var want cli
	kctx, done, err := newApp(nil, io.Discard, io.Discard, noEnv).parse(&want, args)
	if err != nil || done || kctx.Command() != "token" {
		t.Fatalf("%q: the parser says %v; quickLine reads a token command", args, cmp.Or(err, context.Canceled))
	}
	if got.Dir != want.Dir || got.Profile != want.Profile {
		t.Errorf("%q: --dir %q and --profile %q; the parser reads %q and %q", args, got.Dir, got.Profile, want.Dir, want.Profile)
	}
	if want.Quiet || want.Verbose || want.Token.MinValid != nil {
		t.Errorf("%q: the parser finds flags that quickLine does not", args)
	}
}

func TestProfileNamesAreFileNames(t *testing.T) {
	narrow := regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,63}$`)
	for _, name := range []string{
		"", "a", "0", "default", "alice@corp-1.example_x", "é", "a\xff", "a\n", "a b", "A", "aB", "../default", "a/b", `a\b`,
		".a", "_a", "@a", "-a", "a.", "a-", strings.Repeat("a", 64), strings.Repeat("a", 65),
	} {
		if got, want := checkProfileName(name) == nil, narrow.MatchString(name); got != want {
			t.Errorf("profile name %q: allowed %v; want %v", name, got, want)
		}
	}
}
