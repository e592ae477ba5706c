package testdir_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/evertoken/evertoken/internal/testdir"
)

func TestDirectoriesAreGoneAfterTheTest(t *testing.T) {
	var dirs []string
	t.Run("", func(t *testing.T) {
		for range 2 {
			dir := testdir.New(t)
			dirs = append(dirs, dir)
			sub := filepath.Join(dir, "sub", "sub")
			if err := os.MkdirAll(sub, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(sub, "file"), []byte("content"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("after the test: %v; want no directory", err)
		}
	}
}
