package api_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// required is a line of go.mod that requires a module directly.
var required = regexp.MustCompile(`(?m)^(?:require )?\t?([a-z0-9.-]+\.[a-z]+/\S+) v\S+$`)

func TestDependenciesPageHasEachModuleThatIsRequired(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{} // true: some module requires it
	for line := range strings.SplitSeq(string(text), "\n") {
		cells := strings.Split(line, " | ")
		if first := strings.TrimPrefix(cells[0], "| "); first != cells[0] && strings.Contains(first, "/") && !strings.HasPrefix(first, "npm ") {
			for module := range strings.SplitSeq(first, ", ") {
				explained[module] = false
			}
		}
	}
	for _, mod := range goMods(t, root) {
		text, err := os.ReadFile(mod)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range required.FindAllStringSubmatch(string(text), -1) {
			module := line[1]
			if _, ok := explained[module]; !ok && !strings.HasPrefix(module+"/", "github.com/evertoken/evertoken/") {
				t.Errorf("%s requires %s: docs/dependencies.md does not say why", mod, module)
			}
			explained[module] = true
		}
	}
	for module, used := range explained {
		if !used {
			t.Errorf("docs/dependencies.md explains %s, which no go.mod requires", module)
		}
	}
}

// goMods returns the go.mod of each module of the repository.
func goMods(t *testing.T, root string) (mods []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules"):
			return filepath.SkipDir
		case name == "go.mod":
			mods = append(mods, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return mods
}
