package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
)

// BenchmarkCommandPlain runs "evertoken token" from a cold start, with a session
// in plain files whose token lives, next to a Go program that only reads a file.
func BenchmarkCommandPlain(b *testing.B) { measure(b, plainCommands()) }

// BenchmarkCommandSealed does so with a session in sealed files. The OS keyring
// would have the key; its time is not ours, so a program of the same calls has it
// in its environment.
func BenchmarkCommandSealed(b *testing.B) { measure(b, sealedCommands()) }

func plainCommands() []contender {
	return []contender{
		{evertoken, func(tb testing.TB) op {
			dir := tb.TempDir()
			saveProfile(tb, dir)
			saveSession(tb, dir)
			return running(build(tb, evertokenCLI), nil, "token", "--dir", dir)
		}},
		{floor, func(tb testing.TB) op {
			dir := tb.TempDir()
			saveSession(tb, dir)
			return readingOnly(tb, dir)
		}},
	}
}

func sealedCommands() []contender {
	return []contender{
		{evertoken, func(tb testing.TB) op {
			dir, key := tb.TempDir(), tokenstore.NewKey()
			sealSession(tb, dir, key)
			return running(build(tb, "./sealedtoken"), []string{"KEY=" + key.Encode()}, dir)
		}},
		{floor, func(tb testing.TB) op {
			dir := tb.TempDir()
			sealSession(tb, dir, tokenstore.NewKey())
			return readingOnly(tb, dir)
		}},
	}
}

// running runs a program. Its token is what it prints.
func running(path string, env []string, args ...string) op {
	return func() (string, error) {
		cmd := exec.Command(path, args...)
		cmd.Env = append(os.Environ(), env...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, stderr.Bytes())
		}
		return strings.TrimSpace(string(out)), nil
	}
}

// readingOnly reads the one session in dir.
func readingOnly(tb testing.TB, dir string) op {
	tb.Helper()
	store, err := tokenstore.NewFile(dir)
	if err != nil {
		tb.Fatal(err)
	}
	var file string
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Ext(path) == ".json" {
			file = path
		}
		return err
	}); err != nil || file == "" {
		tb.Fatalf("no session in %s: %v", store.Dir(), err)
	}
	return running(build(tb, "./readfile"), nil, file)
}

// saveProfile does what a login leaves behind besides the session.
func saveProfile(tb testing.TB, dir string) {
	tb.Helper()
	data, err := json.Marshal(map[string]any{
		"format": 1, "client_id": clientID, "token_url": "https://auth.test/token", "store": "file",
	})
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "profiles"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "profiles", "client-default.json"), data, 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func sealSession(tb testing.TB, dir string, key tokenstore.Key) {
	tb.Helper()
	files, err := tokenstore.NewFile(dir)
	if err != nil {
		tb.Fatal(err)
	}
	store := tokenstore.NewSealed(files, func(context.Context) ([]tokenstore.Key, error) { return []tokenstore.Key{key}, nil })
	if _, err := store.Set(context.Background(), "default", &tokenstore.Record{Tokens: livingPair()}); err != nil {
		tb.Fatal(err)
	}
}

// programs is given by the command that runs the rounds, so that they build them once.
var programs = flag.String("programs", "", "directory of the programs that are built; empty means a temporary one")

// build builds a program of this repository, unless that has been done. It does so
// as "make build" does on Linux, without C, whose library takes time to load; for the
// program that only reads a file this makes no difference.
func build(tb testing.TB, pkg string) string {
	tb.Helper()
	dir := *programs
	if dir == "" {
		dir = tb.TempDir()
	}
	path := filepath.Join(dir, filepath.Base(pkg))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	linked := filepath.Join(tb.TempDir(), "linked")
	cmd := exec.Command("go", "build", "-o", linked, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if pkg == evertokenCLI {
		cmd.Dir = ".." // a package of the other module
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("building %s: %v\n%s", pkg, err, out)
	}
	install(tb, linked, path)
	return path
}

// install copies a program, as installing does. Linux maps a file that was written
// from begin to end in larger pieces than one that the linker has left, and the go
// command copies that one or moves it, depending on where the file systems end.
func install(tb testing.TB, from, to string) {
	tb.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// evertokenCLI is the evertoken command.
const evertokenCLI = "./cmd/evertoken"

func TestCommandsPrintTheSavedToken(t *testing.T) {
	for name, commands := range map[string][]contender{"plain": plainCommands(), "sealed": sealedCommands()} {
		for _, c := range commands {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				got, want := mustWork(t, c.open(t)), livingPair().AccessToken
				if c.name == evertoken && got != want {
					t.Errorf("got another token than the saved one (%d bytes)", len(got))
				}
				if c.name == floor && !json.Valid([]byte(got)) {
					t.Errorf("what was read is not a session (%d bytes)", len(got))
				}
			})
		}
	}
}
