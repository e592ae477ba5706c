//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/evertoken/evertoken/internal/trouble"
	"github.com/evertoken/evertoken/internal/workers"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/torture/internal/disk"
	"github.com/evertoken/evertoken/torture/internal/report"
	"github.com/evertoken/evertoken/torture/internal/saved"
	"github.com/evertoken/evertoken/torture/internal/worker"
)

func TestNothingIsLostUnderAQuickTorture(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	jsonFile := filepath.Join(t.TempDir(), "report.json")
	var out bytes.Buffer
	code := command(t.Context(), []string{"-quick", "-seed", "1", "-json", jsonFile}, &out, os.Stderr)
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("a line of %d characters: %q", n, line)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	data, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Seed uint64
		Rows []report.Row
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Seed != 1 || len(got.Rows) != rowsInAll {
		t.Fatalf("the report has seed %d and %d rows", got.Seed, len(got.Rows))
	}
	for _, n := range []int{8, 12, 15} {
		if got.Rows[n-1].Lost == 0 {
			t.Errorf("row %d has lost nothing, so that the row above it proves nothing", n)
		}
	}
	if hold := !slices.ContainsFunc(got.Rows, func(r report.Row) bool { return !r.Holds() }); hold != (code == worker.ExitHolds) {
		t.Errorf("all rows hold: %t, but the exit code is %d\n%s", hold, code, out.String())
	}
	for i, r := range got.Rows {
		// How long things take is for runs on a machine that has nothing else to do.
		if r.Number != i+1 || len(r.Problems) > 0 {
			t.Errorf("row %d: %q\n%s", r.Number, r.Problems, out.String())
		}
		if r.Rounds == 0 || r.Spends == 0 && r.Judged || r.Served+r.Failed == 0 || r.Processes == 0 {
			t.Errorf("nothing was done: %+v", r)
		}
	}
}

// Each of these would lose sessions of people, and none may pass for good.
func TestTortureFindsOutAClientThatRefreshesWithoutALock(t *testing.T) {
	to := newTest(t)
	r, err := to.crowded(t.Context(), lonely, 8)
	if err != nil {
		t.Fatal(err)
	}
	if r.Holds() || r.Reuses == 0 || r.Lost == 0 {
		t.Errorf("row %+v; want reuses, losses, and that it does not hold", r)
	}
}

func TestTortureFindsOutAClientThatSavesLater(t *testing.T) {
	to := newTest(t)
	r, err := to.killed(t.Context(), forgetful, 30, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.Problems, "\n"); !strings.Contains(got, "before it was saved") {
		t.Errorf("problems %q; want that a token was used before it was saved", got)
	}
}

func TestTornFileAndHeldLockAreCounted(t *testing.T) {
	to := newTest(t)
	s := newTestScene(t, to, worker.Evertoken, oauthtest.Config{})
	lease, err := s.shelf.(*saved.File).Store.Lock(t.Context(), saved.SessionName)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lease.Unlock() })
	file := filepath.Join(s.cfg.Dir, saved.SessionName+".json")
	if err := os.Truncate(file, 10); err != nil {
		t.Fatal(err)
	}
	// The lock will not become free, and need not be waited for.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // to look at the file, on a busy machine
	defer cancel()
	s.inspect(ctx, saved.State{})
	if s.row.Torn != 1 || s.row.Locks != 1 || s.row.Holds() {
		t.Errorf("row %+v; want one torn file and one lock", s.row)
	}
}

func TestABadDiskIsAlsoSurvivedWhereNothingMayBeMounted(t *testing.T) {
	to := newTest(t)
	for _, f := range disk.Limits {
		dir, err := to.newDir()
		if err != nil {
			t.Fatal(err)
		}
		r := newRow(worker.Evertoken, f.Name)
		if err := to.daemonOn(t.Context(), &disk.Disk{Dir: dir}, f, r); err != nil {
			t.Fatal(err)
		}
		if !r.Holds() || r.Spends < 2 {
			t.Errorf("row %+v", r)
		}
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	devNull, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer devNull.Close()
	for _, args := range [][]string{{"-slow"}, {"quick"}} {
		if code := command(t.Context(), args, io.Discard, devNull); code != worker.ExitUsage {
			t.Errorf("%v: exit code %d; want %d", args, code, worker.ExitUsage)
		}
	}
}

func TestBrokenPromiseIsTold(t *testing.T) {
	r := newRow(worker.Evertoken, "test")
	r.CountServed(workers.ErrEnded, 0)
	for range 6 {
		r.Broken("seven problems")
	}
	var out bytes.Buffer
	r.Print(&out)
	report.PrintNotes(&out, []*report.Row{r})
	if got := out.String(); !strings.Contains(got, "0/1| 0.0 s|   NO|") || !strings.Contains(got, "and 2 more") {
		t.Errorf("printed %q", got)
	}
}

func TestASecondSendingIsSeenWhileTheServerPauses(t *testing.T) {
	for _, afterWork := range []bool{false, true} {
		s := newTestScene(t, newTest(t), worker.Evertoken, oauthtest.Config{})
		pair, err := s.srv.Login(oauthtest.DefaultUser)
		if err != nil {
			t.Fatal(err)
		}
		pause := &trouble.Trouble{AfterWork: afterWork}
		s.srv.Tokens.Fall(pause)
		statuses := make(chan int, 3)
		for range cap(statuses) {
			go func() {
				resp, err := http.PostForm(s.cfg.TokenURL, url.Values{
					"grant_type": {"refresh_token"}, "client_id": {oauthtest.DefaultClientID}, "refresh_token": {pair.RefreshToken},
				})
				if err != nil {
					statuses <- 0
					return
				}
				resp.Body.Close()
				statuses <- resp.StatusCode
			}()
		}
		limit, cancel := context.WithTimeout(t.Context(), worker.Patience)
		defer cancel()
		for held, _ := pause.Held(); held < cap(statuses); held, _ = pause.Held() {
			if limit.Err() != nil {
				t.Fatal("the requests do not arrive")
			}
			time.Sleep(time.Millisecond)
		}
		<-pause.Struck()
		select {
		case status := <-statuses:
			t.Errorf("an answer came during the pause: %d", status)
		default:
		}
		if again := s.srv.Tokens.Heal(); again != 2 {
			t.Errorf("the token was sent %d times more; want 2", again)
		}
		got := []int{<-statuses, <-statuses, <-statuses}
		slices.Sort(got)
		if want := []int{http.StatusOK, http.StatusBadRequest, http.StatusBadRequest}; !slices.Equal(got, want) {
			t.Errorf("answers %v; want %v", got, want)
		}
	}
}

// self returns this test binary as another program, whose workers write to the
// same stderr, so that this ends when the last of them has.
func self(t *testing.T, env string, args ...string) (cmd *exec.Cmd, stdout *bufio.Reader, stderr io.Reader) {
	t.Helper()
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), env+"=1", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if stderr, err = cmd.StderrPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, bufio.NewReader(out), stderr
}

func TestInterruptCleansUp(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	cmd, out, stderr := self(t, commandEnv, "-quick")
	for range 5 { // the seed, an empty line, two lines of heading, and a row
		if _, err := out.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(stderr) // until the last worker has ended
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the code tells
	if code := cmd.ProcessState.ExitCode(); code != worker.ExitBroken || !strings.Contains(string(said), "interrupted") {
		t.Errorf("exit code %d, stderr %q; want %d and why", code, said, worker.ExitBroken)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWorkersEndWithTheRunThatStartedThem(t *testing.T) {
	to := newTest(t)
	p, err := to.workers.Start(worker.Config{Client: worker.Evertoken})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Halt(); err != nil {
		t.Fatal(err)
	}
	to.clear()
	if _, err := os.Stat(to.dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
	select {
	case <-p.Ended():
	default:
		t.Error("a worker is left")
	}
}

func TestWorkersDoNotOutliveTheCommand(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	cmd, out, stderr := self(t, familyEnv)
	if line, err := out.ReadString('\n'); err != nil || !strings.HasPrefix(line, "/") {
		t.Fatalf("the parent says %q, %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(stderr); err != nil { // it hangs if a worker lives on
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
}

// newTestScene returns a scene that ends with the test.
func newTestScene(t *testing.T, to *torture, c worker.Client, cfg oauthtest.Config) *scene {
	t.Helper()
	s, err := to.newScene(t.Context(), c, newRow(c, t.Name()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}
