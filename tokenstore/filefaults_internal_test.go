package tokenstore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/oauth"
)

func TestADirectorysScopeGoesByItsSystem(t *testing.T) {
	for system, want := range map[string]string{"linux": "directory /A", "freebsd": "directory /A", "windows": "directory /a", "darwin": "directory /a"} {
		if got := scopeOfDir("/A", system); got != want {
			t.Errorf("%s: %q; want %q", system, got, want)
		}
	}
}

// A record that cannot be removed stays, and is said to; one that is gone is deleted.
func TestARecordThatCannotBeRemoved(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  error
		ending string
		want   error
	}{
		"the record":               {syscall.EACCES, ".json", syscall.EACCES},
		"the record is gone":       {syscall.ENOENT, ".json", nil},
		"what belongs to it":       {syscall.EACCES, nextSuffix, syscall.EACCES},
		"what belongs to it, gone": {syscall.ENOENT, nextSuffix, nil},
	} {
		d := newSpendDesk(t, false)
		d.disk.fails, d.disk.ending, d.disk.err = "remove", tt.ending, tt.fault
		err := d.file.Delete(t.Context(), "default", d.rec.Version)
		if tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", name, err, tt.want)
		}
	}
}

// What was noted about a damaged record is history with the next save and with a deletion.
func TestNotesOfDamagedRecordsDoNotOutliveThem(t *testing.T) {
	note := func(d *spendDesk) string { return d.file.path("default") + noteSuffix }
	plant := func(d *spendDesk) {
		path := d.file.path("default")
		if err := os.WriteFile(note(d), []byte(filepath.Base(path)+damagedSuffix+"20260304T000000Z-00000001\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(d *spendDesk){
		"Set":    func(d *spendDesk) { d.must(d.file.Set(t.Context(), "default", d.get())) },
		"Delete": func(d *spendDesk) { d.must(0, d.file.Delete(t.Context(), "default", d.rec.Version)) },
		"Settle": func(d *spendDesk) {
			s, rec, err := d.begin(true)
			if err != nil {
				t.Fatal(err)
			}
			plant(d)
			d.must(s.Settle(t.Context(), renewed(rec, 1)))
		},
	} {
		d := newSpendDesk(t, false)
		plant(d)
		change(d)
		if _, err := os.Lstat(note(d)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after %s the note is still there: %v", name, err)
		}
	}
}

// A damaged record whose note cannot be written is moved all the same; one that cannot be
// moved is not noted to be.
func TestMovingADamagedRecordAsideFails(t *testing.T) {
	for name, tt := range map[string]struct {
		ending string // of the file that cannot be made
		moved  bool
	}{
		"nothing fails": {"none", true},
		"the note":      {noteSuffix, true},
		"all renames":   {"", false},
	} {
		d := newSpendDesk(t, false)
		path := d.file.path("default")
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		d.disk.fails, d.disk.ending, d.disk.err = "rename", tt.ending, syscall.EACCES
		if tt.moved == false {
			// The note is there, and then the record cannot be renamed.
			if err := os.WriteFile(path+noteSuffix, []byte("x\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.file.Get(t.Context(), "default"); !errors.Is(err, ErrDamaged) || errors.Is(err, errMoved) != tt.moved {
			t.Errorf("%s: %v", name, err)
		}
		_, err := os.Lstat(path)
		if gone := errors.Is(err, fs.ErrNotExist); gone != tt.moved {
			t.Errorf("%s: the record is gone: %t; want %t", name, gone, tt.moved)
		}
		_, err = os.Lstat(path + noteSuffix)
		if noted := err == nil; noted != (name == "nothing fails") {
			t.Errorf("%s: it is noted: %t", name, noted)
		}
		for _, rest := range d.rest() {
			if strings.Contains(rest, tempSuffix) {
				t.Errorf("%s: left behind: %s", name, rest)
			}
		}
	}
}

// A file of a spend is closed whatever comes of it, and so are those that wait for its end.
func TestASpendClosesItsFiles(t *testing.T) {
	closed := func(t *testing.T, what string, files []*os.File) {
		t.Helper()
		for _, f := range files {
			if err := f.Close(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: %s is open: %v", what, filepath.Base(f.Name()), err)
			}
		}
	}
	for _, call := range []string{"write", "sync"} {
		d := newSpendDesk(t, false)
		d.disk.created = nil
		d.disk.fails, d.disk.err = call, syscall.EIO
		if _, _, err := d.begin(true); err == nil || len(d.disk.created) != 1 {
			t.Errorf("%s: %v, with %d files", call, err, len(d.disk.created))
		}
		closed(t, "a spend that fails to begin with "+call, d.disk.created)
	}
	for _, reserve := range []bool{false, true} {
		for name, end := range map[string]func(s Spending, rec *Record) error{
			"Unlock": func(s Spending, _ *Record) error { return s.Unlock() },
			"Settle": func(s Spending, rec *Record) error {
				_, err := s.Settle(t.Context(), renewed(rec, 1))
				return err
			},
		} {
			d := newSpendDesk(t, false)
			d.disk.created = nil
			s, rec, err := d.begin(reserve)
			if err != nil {
				t.Fatal(err)
			}
			spare := s.(*fileSpending).spare
			if got, want := len(spare), map[bool]int{true: spares}[reserve]; got != want {
				t.Errorf("reserve=%v: %d files are open for the end; want %d", reserve, got, want)
			}
			if err := end(s, rec); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			closed(t, name, append(d.disk.created, spare...))
			_ = s.Unlock()
		}
	}
}

// On a mount that cannot be replaced nothing is announced that cannot wait.
func TestASpendThatCannotWaitNeedsARecordThatCanBeReplaced(t *testing.T) {
	d := newSpendDesk(t, false)
	d.disk.mounted = true
	if _, _, err := d.begin(true); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("it begins: %v", err)
	}
	s, _, err := d.begin(false)
	if err != nil {
		t.Fatalf("one that can wait does not begin: %v", err)
	}
	if err := s.Unlock(); err != nil {
		t.Error(err)
	}
}

// The announcement stands while the next record is written in front of it, whatever part of that
// is there when the process is killed, and is cut off only when the record is synced.
func TestAnAnnouncementStandsUntilTheNextRecordIsWhole(t *testing.T) {
	eachKind(t, func(t *testing.T, sealed bool) {
		d := newSpendDesk(t, sealed)
		s, rec, err := d.begin(true)
		if err != nil {
			t.Fatal(err)
		}
		path := d.file.path("default")
		before, err := os.ReadFile(path + nextSuffix)
		if err != nil {
			t.Fatal(err)
		}
		var wrote []byte
		d.disk.wrote = func(_ *os.File, data []byte) { wrote = bytes.Clone(data) }
		d.disk.fails, d.disk.err = "sync", syscall.EIO
		_, _ = s.Settle(t.Context(), renewed(rec, 1))
		d.disk.wrote, d.disk.fails = nil, ""
		_ = s.Unlock() // as the end of the process does
		for size := 0; size <= len(wrote); size += max(1, len(wrote)/40) {
			torn := append(bytes.Clone(wrote[:size]), before[size:]...)
			if err := os.WriteFile(path+nextSuffix, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			got := d.get()
			if whole := size >= len(wrote)-1; (got.Pending == nil) != whole || (got.Tokens.RefreshToken == "refresh-1") != whole {
				t.Errorf("%d bytes of %d: refresh token %s, mark %v", size, len(wrote), got.Tokens.RefreshToken, got.Pending)
			}
		}
		if err := os.Rename(path+nextSuffix, path); err != nil { // and a power cut before it is cut off
			t.Fatal(err)
		}
		longer := append(bytes.Clone(wrote), before[len(wrote):]...)
		if err := os.WriteFile(path, longer, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := d.get(); got.Tokens.RefreshToken != "refresh-1" || got.Pending != nil {
			t.Errorf("with an announcement at its end: %v, mark %v", got.Tokens.RefreshToken, got.Pending)
		}
		for n := 2; n <= 3; n++ {
			s, rec, err := d.begin(true)
			if err != nil {
				t.Fatal(err)
			}
			d.must(s.Settle(t.Context(), renewed(rec, n)))
		}
		if got := d.get(); got.Tokens.RefreshToken != "refresh-3" || len(d.rest()) != 0 {
			t.Errorf("in the end %v, left %v", got.Tokens.RefreshToken, d.rest())
		}
	})
}

// A process that waits for a lock reads the record only when it looks different.
func TestAWaiterReadsARecordWhoseStampHasChanged(t *testing.T) {
	d := newSpendDesk(t, false)
	path := d.file.path("default")
	stop := d.file.untilChanged(t.Context(), "default", d.rec.Version)
	if err := stop(); err != nil {
		t.Errorf("an unchanged record: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(data, []byte(`"version":1`), []byte(`"version":7`), 1)
	if bytes.Equal(data, other) {
		t.Fatalf("the record is %s", data)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(other)
	if err := errors.Join(err, f.Close(), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Errorf("it is read again though it looks the same: %v", err)
	}
	if err := os.Chtimes(path, time.Time{}, info.ModTime().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := stop(); !errors.Is(err, ErrConflict) {
		t.Errorf("a changed record: %v; want ErrConflict", err)
	}
}

// A record that was away for a moment is looked for once more.
func TestARecordThatComesBackIsFound(t *testing.T) {
	d := newSpendDesk(t, false)
	for name, tt := range map[string]struct {
		session string
		looks   []error
		want    error
	}{
		"it is there":               {"default", []error{nil}, nil},
		"it comes back":             {"default", []error{fs.ErrNotExist, nil}, nil},
		"it comes back and goes":    {"default", []error{fs.ErrNotExist, fs.ErrNotExist}, fs.ErrNotExist},
		"it cannot be read":         {"default", []error{syscall.EIO}, syscall.EIO},
		"it comes, and is not read": {"default", []error{fs.ErrNotExist, syscall.EIO}, syscall.EIO},
		"there is none":             {"other", []error{fs.ErrNotExist}, ErrNotFound},
	} {
		n := 0
		err := d.file.find(tt.session, func(path string) error {
			if path != d.file.path(tt.session) {
				t.Errorf("%s: it is looked for at %s", name, path)
			}
			if n++; n > len(tt.looks) {
				t.Fatalf("%s: it is looked for %d times", name, n)
			}
			return tt.looks[n-1]
		})
		if n != len(tt.looks) || tt.want == nil && err != nil || !errors.Is(err, tt.want) {
			t.Errorf("%s: %v after %d looks; want %v", name, err, n, tt.want)
		}
	}
}

// Sessions of long names are known by what their files say.
func TestAFileWithAHashForANameThatSaysNothing(t *testing.T) {
	d := newSpendDesk(t, false)
	long := strings.Repeat("n", 200)
	d.must(d.file.Set(t.Context(), long, &Record{Tokens: pairOf(1)}))
	for _, name := range []string{"unread", "rubbish"} {
		path := filepath.Join(d.dir, encodeName(strings.Repeat("n", 201)+name)+recordSuffix)
		err := os.WriteFile(path, []byte("rubbish"), 0o600)
		if name == "unread" {
			err = errors.Join(err, os.Truncate(path, 8<<20))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	names, err := d.file.Names(t.Context())
	if err != nil || len(names) != 2 || names[0] != "default" || names[1] != long {
		t.Errorf("the sessions are %q, %v", names, err)
	}
	if rec, err := d.file.Get(t.Context(), long); err != nil || rec.Unknown != nil {
		t.Errorf("its name is among the unknown fields: %v, %v", rec.Unknown, err)
	}
}

func TestPagesOfWhatIsDeletedMeanwhile(t *testing.T) {
	d := newSpendDesk(t, false)
	version := d.must(d.file.Set(t.Context(), "other", &Record{Tokens: pairOf(1)}))
	pages := 0
	for page, err := range d.file.Pages(t.Context(), 1) {
		if err != nil || len(page) != 1 {
			t.Errorf("a page of %d, %v", len(page), err)
		}
		if pages++; pages == 1 {
			d.must(0, d.file.Delete(t.Context(), "other", version))
		}
	}
	if pages != 1 {
		t.Errorf("%d pages; want one", pages)
	}
	d.must(d.file.Set(t.Context(), "other", &Record{Tokens: pairOf(1)}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range d.file.Pages(ctx, 1) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) || !strings.HasPrefix(last.Error(), "tokenstore: ") {
		t.Errorf("a listing that is canceled: %v", last)
	}
}

// A record is as large as the room for the next one allows.
func TestTheLargestRecord(t *testing.T) {
	sized := func(n int) *Record {
		rec := &Record{Tokens: &oauth.TokenPair{AccessToken: "x", RefreshToken: "r"}}
		data, err := encode(rec, 1)
		if err != nil {
			t.Fatal(err)
		}
		rec.Tokens.AccessToken = strings.Repeat("x", n-len(data)+1)
		return rec
	}
	if data, err := encodeFile(sized(MaxRecord), 1); err != nil || len(data) != MaxRecord {
		t.Errorf("%d bytes: %v", len(data), err)
	}
	if _, err := encodeFile(sized(MaxRecord+1), 1); err == nil {
		t.Error("a record larger than that is written")
	}
}

func TestALeaseOfFilesEndsWithTheProcess(t *testing.T) {
	d := newSpendDesk(t, false)
	lease, err := d.file.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if own, ok := lease.(ProcessLease); !ok || !own.EndsWithProcess() {
		t.Error("it does not, for all that is said")
	}
	if err := lease.Unlock(); err != nil {
		t.Error(err)
	}
}

// Waiting for a lock that another process holds.
func TestHowALockIsPolled(t *testing.T) {
	path := filepath.Join(testdir.New(t), "lock")
	synctest.Test(t, func(t *testing.T) {
		for turns, want := range map[int]time.Duration{0: 0, maxTurns - 2: 0, maxTurns - 1: minPoll + maxPoll, maxTurns: 0, 2*maxTurns - 1: minPoll + maxPoll} {
			begun := time.Now()
			f, err := pollLock(t.Context(), path, turns, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := time.Since(begun); got != want {
				t.Errorf("turn %d takes %v; want %v for other processes", turns, got, want)
			}
			if err := f.Unlock(); err != nil {
				t.Fatal(err)
			}
		}
		held, err := tryFlock(path)
		if err != nil || held == nil {
			t.Fatal(held, err)
		}
		defer func() { _ = held.Unlock() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		asked := time.Now()
		_, err = pollLock(ctx, path, 0, func() error {
			if since := time.Since(asked); since > stampPoll {
				t.Errorf("the record is looked at after %v; want %v at most", since, stampPoll)
			}
			asked = time.Now()
			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a lock that is held: %v", err)
		}
		gone := errors.New("changed")
		if _, err := pollLock(t.Context(), path, 0, func() error { return gone }); !errors.Is(err, gone) {
			t.Errorf("a wait that is over: %v", err)
		}
	})
}

// The announcement of a process that has died is not given the name of the record by the
// next one: only a record is that another one could not.
func TestAnAnnouncementIsNoRecordWithoutAName(t *testing.T) {
	d := newSpendDesk(t, false)
	s, _, err := d.begin(true)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Unlock()
	clear(d.disk.calls)
	if s, _, err = d.begin(true); err != nil {
		t.Fatal(err)
	}
	_ = s.Unlock()
	if got := d.disk.calls["rename"]; got != 0 {
		t.Errorf("the announcement is renamed %d times", got)
	}
}

// The descriptors that were kept for the end of a spend are free when it begins to end.
func TestKeptDescriptorsAreFreeForTheEnd(t *testing.T) {
	d := newSpendDesk(t, false)
	s, rec, err := d.begin(true)
	if err != nil {
		t.Fatal(err)
	}
	spare, free := s.(*fileSpending).spare, 0
	d.disk.wrote = func(*os.File, []byte) {
		for _, f := range spare {
			if errors.Is(f.Close(), os.ErrClosed) {
				free++
			}
		}
	}
	d.must(s.Settle(t.Context(), renewed(rec, 1)))
	if free != spares {
		t.Errorf("%d are free when the record is written; want %d", free, spares)
	}
}
