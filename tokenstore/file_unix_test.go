//go:build unix

package tokenstore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestLooseModesAreTightened(t *testing.T) {
	f := openFile(t, testdir.New(t))
	path := filepath.Join(f.Dir(), "default.json")
	writeFile(t, path, `{"access_token":"a"}`, 0o644)
	rec := mustGet(t, f, "default")
	wantMode(t, path, 0o600)

	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	mustSet(t, f, "default", rec)
	wantMode(t, path, 0o600)
}

func TestDirectoryThatOthersMayWriteToIsRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o777, 0o720, 0o702, 0o777 | fs.ModeSticky} {
		dir := testdir.New(t)
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := tokenstore.NewFile(dir); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
			t.Errorf("NewFile of a directory with mode %v: %v; want an error that says what to do", mode, err)
		}
	}
	dir := testdir.New(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	openFile(t, dir)
	wantMode(t, dir, 0o755)
}

func TestLinkedDirectoryIsOneStoreUnderBothNames(t *testing.T) {
	dir := testdir.New(t)
	link := filepath.Join(testdir.New(t), "link")
	symlink(t, dir, link)
	a, b := openFile(t, dir), openFile(t, link)
	if a.Dir() != b.Dir() {
		t.Errorf("directories %q and %q; want one", a.Dir(), b.Dir())
	}
}

func TestSymbolicLinkIsRefusedAndItsTargetLeftAlone(t *testing.T) {
	f := openFile(t, testdir.New(t))
	target := filepath.Join(testdir.New(t), "target.json")
	writeFile(t, target, `{"access_token":"a"}`, 0o600)
	symlink(t, target, filepath.Join(f.Dir(), "default.json"))
	_, getErr := f.Get(t.Context(), "default")
	_, setErr := f.Set(t.Context(), "default", &tokenstore.Record{Tokens: newPair("b")})
	for _, err := range []error{getErr, setErr, f.Delete(t.Context(), "default", 1)} {
		if err == nil || !strings.Contains(err.Error(), "is a symbolic link (put the file itself there)") {
			t.Errorf("error %v; want one that says what to do", err)
		}
	}
	if got := readFile(t, target); got != `{"access_token":"a"}` {
		t.Errorf("the target is now %q", got)
	}
}

func TestRemovedDirectoryIsMadeAgainForASessionThatBegins(t *testing.T) {
	f := openFile(t, filepath.Join(testdir.New(t), "sessions"))
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	lease, err := f.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(f.Dir()); err != nil {
		t.Fatal(err)
	}
	if err := lease.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
		t.Errorf("Err of a lease whose file is gone: %v; want ErrLeaseLost", err)
	}
	if names, err := f.Names(t.Context()); !errors.Is(err, tokenstore.ErrUnavailable) {
		t.Errorf("Names: %q, %v; want ErrUnavailable", names, err)
	}
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("b")})
	if rec := mustGet(t, f, "default"); rec.Tokens.AccessToken != newPair("b").AccessToken {
		t.Errorf("Get: %v", rec)
	}
	wantMode(t, f.Dir(), 0o700)
}

// Two programs, one of which removed and made the lock file again, must not
// both believe that they hold the lock.
func TestLeaseIsLostWhenItsFileIsReplaced(t *testing.T) {
	a := openFile(t, testdir.New(t))
	b := openFile(t, a.Dir())
	first, err := a.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(a.Dir(), "default.json.lock")); err != nil {
		t.Fatal(err)
	}
	second, err := b.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Err(); !errors.Is(err, tokenstore.ErrLeaseLost) {
		t.Errorf("Err of the first lease: %v; want ErrLeaseLost", err)
	}
	if err := errors.Join(first.Unlock(), second.Err(), second.Unlock()); err != nil {
		t.Error(err)
	}
}

// A limit on the size of files is what a test can have for a full disk: the
// write fails in the middle, and part of the file exists.
func TestFullDiskLosesNothingAndLeavesNothing(t *testing.T) {
	f := openFile(t, testdir.New(t))
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
	f := openFile(t, testdir.New(t))
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
	f := openFile(t, testdir.New(t))
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
	f := openFile(t, testdir.New(t))
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
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "test"), binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
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

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %04o; want %04o", filepath.Base(path), got, want)
	}
}

func symlink(t *testing.T, target, link string) {
	t.Helper()
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
}
