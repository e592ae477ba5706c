//go:build unix

package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// A limit on the size of files is what a test can have for a full disk: the
// write fails in the middle, and part of the file exists.
func TestFullDiskLosesNothingAndLeavesNothing(t *testing.T) {
	f := openFile(t, t.TempDir())
	rec := &tokenstore.Record{Tokens: newPair("a")}
	version := mustSet(t, f, "default", rec)

	p := startHelper(t, "full-disk", f.Dir())
	if got := p.line(t); !strings.Contains(got, "free some space") || strings.Contains(got, "secret") {
		t.Errorf("Set on a full disk: %q; want an error that says what to do", got)
	}
	if err := p.Wait(); err != nil {
		t.Fatalf("%v: %s", err, p.stderr)
	}
	if got := mustGet(t, f, "default"); got.Version != version || got.Tokens.AccessToken != rec.Tokens.AccessToken {
		t.Errorf("the stored record is now %v", got)
	}
	if left := glob(t, f.Dir(), "*.tmp-*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// fullDisk saves a record that is larger than any file may be.
func fullDisk(ctx context.Context, f *tokenstore.File) error {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 4096, Max: 4096}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	rec, err := f.Get(ctx, "default")
	if err != nil {
		return err
	}
	rec.Tokens = &oauth.TokenPair{AccessToken: strings.Repeat("secret", 2000)}
	if _, err = f.Set(ctx, "default", rec); err == nil {
		return errors.New("a file grew beyond the limit")
	}
	fmt.Println(err)
	return nil
}

// Opening a pipe for reading would wait for a writer for ever.
func TestPipeInPlaceOfASessionDoesNotHang(t *testing.T) {
	f := openFile(t, t.TempDir())
	if err := syscall.Mkfifo(filepath.Join(f.Dir(), "default.json"), 0o600); err != nil {
		t.Skipf("this file system has no pipes: %v", err)
	}
	if _, err := f.Get(t.Context(), "default"); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("Get: %v; want an error that says what is wrong", err)
	}
}

func TestDirectoryWithoutPermissionIsExplained(t *testing.T) {
	if !bound(t) {
		return
	}
	f := openFile(t, t.TempDir())
	rec := &tokenstore.Record{Tokens: newPair("a")}
	rec.Version = mustSet(t, f, "default", rec)
	chmod(t, f.Dir(), 0o500)
	_, setErr := f.Set(t.Context(), "default", rec)
	_, lockErr := f.Lock(t.Context(), "default")
	for _, err := range []error{setErr, lockErr, f.Delete(t.Context(), "default", rec.Version)} {
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "check that this user owns") {
			t.Errorf("error %v; want one that says what to do", err)
		}
		if errors.Is(err, tokenstore.ErrLocked) {
			t.Errorf("error %v says that somebody holds the lock", err)
		}
	}
	openFile(t, f.Dir()) // reading is still possible
	mustGet(t, f, "default")
}

func TestDamagedFileThatCannotBeMovedIsReportedAsDamaged(t *testing.T) {
	if !bound(t) {
		return
	}
	f := openFile(t, t.TempDir())
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	writeFile(t, filepath.Join(f.Dir(), "default.json"), "damaged", 0o600)
	chmod(t, f.Dir(), 0o500)
	_, err := f.Get(t.Context(), "default")
	if !errors.Is(err, tokenstore.ErrDamaged) || !errors.Is(err, os.ErrPermission) {
		t.Errorf("Get: %v; want ErrDamaged and why it could not be moved", err)
	}
}

// bound reports whether permissions bind this process. They do not bind root, so
// for root it runs the calling test in a process of another user, whose failure
// is the test's.
func bound(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return true
	}
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	chmod(t, dir, 0o777)
	binary, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "test"), binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "test"), "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as a user without privileges: %v\n%s", err, out)
	}
	return false
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
}
