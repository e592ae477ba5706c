package api_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// substituted is where a shell puts the command's output, which is a token; kept is such a place
// that is a variable of the shell's. A variable that printf or echo of a shell writes into a
// pipe is in no command line, and spelled is one that is.
var (
	substituted = regexp.MustCompile("(\\$\\(|[ =][\"']`|=`|(Bearer|DPoP) `)\\s*evertoken( [^)`|]*)? token\\b")
	kept        = regexp.MustCompile("^[\\s>#/$*`]*((export|local|readonly) )?[A-Za-z_][A-Za-z0-9_]*=\"?(\\$\\(|`)\\s*evertoken[^)`]*[)`]\"?[;`]?")
	spelled     = regexp.MustCompile(`(-H|--header|--oauth2-bearer|--auth|--token|-a|-u|--user)[= ]["']?[^"'|]*\$\{?[A-Za-z_]*(TOKEN|BEARER)`)
)

// tokenInArgv reports whether a line has a command whose words hold a token: every user of the
// machine can read them.
func tokenInArgv(line string) bool {
	line = kept.ReplaceAllString(line, "")
	return substituted.MatchString(line) || spelled.MatchString(line)
}

// recipesIn are the endings of files that people copy commands from.
var recipesIn = []string{".md", ".go", ".sh", ".yml", ".yaml", ".html", ".txt", ".py", ".js", ".ts", ".ps1"}

func TestF99_NoRecipeHasATokenInACommandLine(t *testing.T) {
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && len(entry.Name()) > 2):
			return filepath.SkipDir
		case entry.IsDir() || !slices.Contains(recipesIn, filepath.Ext(path)) && entry.Name() != "Makefile":
			return nil
		case strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			if tokenInArgv(line) {
				t.Errorf("%s:%d shows a token to every user of the machine: use evertoken get, or a pipe: %s", path, i+1, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		`curl -H "Authorization: Bearer $(evertoken token)" https://api.example.com/me`, "curl -H \"Authorization: Bearer `evertoken token`\" x",
		`wget --header="Authorization: Bearer $(evertoken token)" x`, `curl --oauth2-bearer "$(evertoken token)" x`, "curl --oauth2-bearer \"`evertoken token`\" x",
		`curl -H "X-Api-Key: $(evertoken token)" x`, `http -A bearer -a "$(evertoken --profile work token)" x`, `grpcurl -H "authorization: Bearer $( evertoken token --wait 1s )" x`,
		`kubectl --token=$(evertoken token) get pods`, `docker login -u alice -p $(evertoken token) registry.test`, `env TOKEN=$(evertoken token) program`, "curl https://api.test/?access_token=`evertoken token`",
		`TOKEN=$(evertoken token); curl -H "Authorization: Bearer $TOKEN" x`, `curl -H "Authorization: Bearer ${ACCESS_TOKEN}" x`, `wget --header "Authorization: Bearer $BEARER" x`, `curl -H "$(evertoken token --header)" x`,
	} {
		if !tokenInArgv(bad) {
			t.Errorf("not found: %s", bad)
		}
	}
	for _, good := range []string{"evertoken get https://api.example.com/me", "evertoken token --header | curl -H @- https://api.example.com/me", "TOKEN=$(evertoken token)", `export TOKEN="$(evertoken token)"`,
		"$ TOKEN=$(evertoken --profile work token)", "token=`evertoken token`", `printf 'Authorization: Bearer %s' "$TOKEN" | curl -H @- https://api.example.com/me`, "`$(evertoken get https://api.example.com/me)`",
		`evertoken curl https://api.example.com/things -d name=value`,
	} {
		if tokenInArgv(good) {
			t.Errorf("taken for bad: %s", good)
		}
	}
}
