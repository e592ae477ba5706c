//go:build real && linux

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// sessionEnv tells the test that the keyring it finds is one made for it.
const sessionEnv = "EVERTOKEN_CLI_KEYRING_SESSION"

func TestScriptsOnARealKeyring(t *testing.T) {
	if os.Getenv(sessionEnv) == "" {
		inASession(t)
		return
	}
	params := scripts(filepath.Join("testdata", "real"), setUpKeyring)
	params.Cmds["hidden"] = hiddenCommand
	testscript.Run(t, params)
}

// inASession runs this test once more, on a session bus of its own with a keyring.
func inASession(t *testing.T) {
	for _, program := range []string{"dbus-run-session", "gnome-keyring-daemon", "secret-tool"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, "there is no "+program)
		}
	}
	session := filepath.Join("..", "..", "internal", "keyringsession", "session.sh")
	cmd := exec.CommandContext(t.Context(), session, os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), sessionEnv+"=1")
	cmd.WaitDelay = 10 * time.Second // for what keeps the output open
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()+"/") {
		t.Errorf("%v\n%s", err, out)
	}
}

// missing ends a test for which a real part is missing.
func missing(t *testing.T, reason string) {
	t.Helper()
	const next = "; run tokenstore/keyring/setup.sh"
	if os.Getenv("EVERTOKEN_REQUIRE_REAL") == "1" || os.Getenv("CI") == "true" {
		t.Fatal(reason + next)
	}
	t.Skip(reason + next + " (EVERTOKEN_REQUIRE_REAL=1 makes this a failure)")
}

// setUpKeyring is setUp for scripts that have the keyring of the session.
func setUpKeyring(env *testscript.Env) error {
	if err := setUp(env); err != nil {
		return err
	}
	for _, name := range []string{"DBUS_SESSION_BUS_ADDRESS", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"} {
		env.Setenv(name, os.Getenv(name))
	}
	env.Setenv("EVERTOKEN_STORE", "")
	return nil
}

// hiddenCommand looks for a session's secrets in every file below the home, which
// must not hold any:
//
//	hidden PROFILE
func hiddenCommand(ts *testscript.TestScript, neg bool, args []string) {
	tokens := savedSession(ts, args[0]).Tokens
	var telling []string
	ts.Check(filepath.WalkDir(ts.Getenv("HOME"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, secret := range []string{tokens.AccessToken, tokens.RefreshToken} {
			if containsPart(string(text), secret) {
				telling = append(telling, path)
			}
		}
		return err
	}))
	if (len(telling) == 0) == neg {
		ts.Fatalf("secrets are in %q (negated: %v)", telling, neg)
	}
}
