package tokenstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

func isConflict(err error) bool { return errors.Is(err, tokenstore.ErrConflict) }

func TestProcessesUnderTheLockLoseNoUpdate(t *testing.T)      { countInProcesses(t, "count-locked") }
func TestProcessesComparingVersionsLoseNoUpdate(t *testing.T) { countInProcesses(t, "count-compare") }

func countInProcesses(t *testing.T, helper string) {
	f := openFile(t, testdir.New(t))
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a"), RefreshedBy: "0"})
	var processes []*process
	for range countProcesses {
		processes = append(processes, startHelper(t, helper, f.Dir()))
	}
	for _, p := range processes {
		if err := p.Wait(); err != nil {
			t.Errorf("process: %v: %s", err, p.stderr)
		}
	}
	if got, want := mustGet(t, f, "default").RefreshedBy, strconv.Itoa(countProcesses*countEach); got != want {
		t.Errorf("%d processes counted to %s; want %s", countProcesses, got, want)
	}
}

// A writer that is killed at any moment leaves a whole record, no older than
// the last one it reported, a lock that is free at once, and at most temporary
// files, which the next program to open the store removes.
func TestF16_F30_KilledWriterLeavesNothingTornAndNothingLocked(t *testing.T) {
	dir := testdir.New(t)
	f := openFile(t, dir)
	mustSet(t, f, "default", &tokenstore.Record{Tokens: newPair("a")})
	left := 0
	// Which of them leave something behind is a matter of luck.
	for round := 0; round < 16 || left == 0 && round < 500; round++ {
		p := startHelper(t, "write", dir)
		var reported uint64
		for range 1 + rand.N(6) {
			v, err := strconv.ParseUint(p.line(t), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			reported = v
		}
		// Every other one is killed while it writes.
		for tries := 0; round%2 == 1 && tries < 100_000 && len(glob(t, dir, "*.tmp-*")) == 0; tries++ {
			runtime.Gosched()
		}
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = p.Wait() // killed
		left += len(glob(t, dir, "*.tmp-*"))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		lease, err := f.Lock(ctx, "default")
		cancel()
		if err != nil {
			t.Fatalf("lock of a killed process: %v", err)
		}
		rec := mustGet(t, f, "default")
		if rec.Version < reported {
			t.Errorf("version %d was reported as saved, but %d is stored", reported, rec.Version)
		}
		if token := rec.Tokens.AccessToken; strings.Trim(token, token[:1]) != "" {
			t.Errorf("the stored record is made of two")
		}
		if err := lease.Unlock(); err != nil {
			t.Error(err)
		}
	}
	openFile(t, dir)
	if still := glob(t, dir, "*.tmp-*"); len(still) > 0 || left == 0 {
		t.Errorf("killed writers left %d temporary files, and %d are still there", left, len(still))
	}
	if damaged := glob(t, dir, "*.damaged-*"); len(damaged) > 0 {
		t.Errorf("records were taken for damaged: %q", damaged)
	}
	t.Logf("%d temporary files were left behind and removed", left)
}

func TestF15_LockOfAnotherProcessIsRespectedUntilItDies(t *testing.T) {
	dir := testdir.New(t)
	f := openFile(t, dir)
	p := startHelper(t, "hold", dir)
	if got := p.line(t); got != "held" {
		t.Fatalf("helper says %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	_, err := f.Lock(ctx, "default")
	cancel()
	if !errors.Is(err, tokenstore.ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Lock while another process holds it: %v; want ErrLocked and the context's error", err)
	}
	if n, err := f.Cleanup(t.Context()); n != 0 || err != nil {
		t.Errorf("Cleanup: %d, %v", n, err)
	}

	got := make(chan error, 1)
	go func() {
		lease, err := f.Lock(t.Context(), "default")
		if err == nil {
			err = lease.Unlock()
		}
		got <- err
	}()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // killed
	if err := <-got; err != nil {
		t.Errorf("Lock after its holder was killed: %v", err)
	}
}

func newPair(label string) *oauth.TokenPair {
	return &oauth.TokenPair{AccessToken: "access-" + label, RefreshToken: "refresh-" + label}
}

var mustSet, mustGet = teststore.Set, teststore.Get

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}
