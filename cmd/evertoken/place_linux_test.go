package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// A spoiledPlace is a place of tokens that cannot be written, locked or linked.
type spoiledPlace struct {
	store   string
	prepare func(d *desk)
	spoil   func(d *desk) (mend func())
	code    int
	next    string // of the advice
	unread  bool   // the session cannot even be read
	deletes bool   // what is there can be deleted all the same
}

// mount mounts for as long as the caller wants, or skips the test.
func (d *desk) mount(source, target, kind string, flags uintptr, data string) (unmount func()) {
	d.t.Helper()
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		d.t.Skipf("mounting takes root: %v", err)
	}
	return func() { d.must(syscall.Unmount(target, syscall.MNT_DETACH)) }
}

// readOnly makes the directory one that no process can write to.
func (d *desk) readOnly() (mend func()) {
	d.t.Helper()
	unmount := d.mount(d.Dir, d.Dir, "", syscall.MS_BIND, "")
	d.must(syscall.Mount("", d.Dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""))
	return unmount
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// fails is a place whose calls fail with err.
func fails(call func(k *fakeKeyring) *error, err error) func(d *desk) func() {
	return func(d *desk) func() {
		hook := call(d.keyring)
		*hook = err
		return func() { *hook = nil }
	}
}

// inTheWay puts something else where a lock file should be.
func inTheWay(suffix string, put func(path string) error) func(d *desk) func() {
	return func(d *desk) func() {
		path := d.sessionFile(profile.InFiles) + suffix
		d.must(os.RemoveAll(path))
		d.must(put(path))
		return func() { d.must(os.RemoveAll(path)) }
	}
}

// smallDisk puts a small disk in the place of the directory.
func smallDisk(d *desk) {
	d.t.Cleanup(d.mount("tmpfs", d.Dir, "tmpfs", 0, "size=256k,nr_inodes=64,mode=0700"))
}

// fill leaves no byte on the disk.
func fill(d *desk) (mend func()) {
	filler := filepath.Join(d.Dir, "filler")
	_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much as there is room for
	return func() { d.must(os.Remove(filler)) }
}

// noInodes leaves room on the disk, but not for one more file.
func noInodes(d *desk) (mend func()) {
	var made []string
	for i := range 1000 {
		name := filepath.Join(d.Dir, fmt.Sprint("filler-", i))
		if os.WriteFile(name, nil, 0o600) != nil {
			break
		}
		made = append(made, name)
	}
	return func() {
		for _, name := range made {
			d.must(os.Remove(name))
		}
	}
}

// immutable makes the directory one whose files can be written, but not replaced.
func immutable(d *desk) (mend func()) {
	d.t.Helper()
	set := func(flag uint32) error {
		dir, err := os.Open(d.Dir)
		d.must(err)
		defer dir.Close()
		return unix.IoctlSetPointerInt(int(dir.Fd()), unix.FS_IOC_SETFLAGS, int(flag))
	}
	const immutableFlag = 0x10 // FS_IMMUTABLE_FL
	if err := set(immutableFlag); err != nil {
		d.t.Skipf("this file system has no such flag, or it takes root: %v", err)
	}
	return func() { d.must(set(0)) }
}

// noDescriptors leaves the process no file to open.
func noDescriptors(d *desk) (mend func()) {
	var before syscall.Rlimit
	d.must(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	const limit = 256
	d.must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: before.Max}))
	var opened []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		opened = append(opened, f)
	}
	return func() {
		for _, f := range opened {
			d.must(f.Close())
		}
		d.must(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))
	}
}

// recordMounted makes the record's file a mount of its own.
func recordMounted(d *desk) (mend func()) {
	elsewhere := filepath.Join(d.t.TempDir(), "record")
	data, err := os.ReadFile(d.sessionFile(profile.InFiles))
	d.must(err)
	d.must(os.WriteFile(elsewhere, data, 0o600))
	return d.mount(elsewhere, d.sessionFile(profile.InFiles), "", syscall.MS_BIND, "")
}

func saving(k *fakeKeyring) *error  { return &k.full }
func locking(k *fakeKeyring) *error { return &k.locked }

func noLocks(errno syscall.Errno) error {
	return &tokenstore.PlaceError{Err: fmt.Errorf("%w: %w", tokenstore.ErrNoLocks, errno), Advice: "choose a directory on a local disk"}
}

// spoiledPlaces is a function, because what a package makes before main is measured.
func spoiledPlaces() map[string]spoiledPlace {
	return map[string]spoiledPlace{
		"directory turned read-only": {store: profile.InFiles, code: exit.Config, next: "--dir or EVERTOKEN_DIR",
			spoil: (*desk).readOnly},
		"mounted secret, without lock files": {store: profile.InFiles, code: exit.Config, next: "--dir or EVERTOKEN_DIR",
			spoil: func(d *desk) func() {
				for _, suffix := range []string{".lock", ".write"} {
					d.must(os.RemoveAll(d.sessionFile(profile.InFiles) + suffix))
				}
				return d.readOnly()
			}},
		"disk full": {store: profile.InFiles, code: exit.Temporary, next: "free some space", deletes: true,
			prepare: func(d *desk) { smallDisk(d) }, spoil: fill},
		"no inodes left": {store: profile.InFiles, code: exit.Temporary, next: "free some space", deletes: true,
			prepare: func(d *desk) { smallDisk(d) }, spoil: noInodes},
		"directory cannot be changed": {store: profile.InFiles, code: exit.Config, next: "owns the directory", spoil: immutable},
		"too many open files":         {store: profile.InFiles, code: exit.Temporary, next: "ulimit -n", unread: true, spoil: noDescriptors},
		"record is a mount": {store: profile.InFiles, code: exit.Config, next: "mount the directory",
			spoil: recordMounted},
		"record is a link": {store: profile.InFiles, code: exit.Config, next: "put the file itself there", unread: true,
			spoil: func(d *desk) func() {
				elsewhere := filepath.Join(d.t.TempDir(), "record")
				d.must(os.Rename(d.sessionFile(profile.InFiles), elsewhere))
				d.must(os.Symlink(elsewhere, d.sessionFile(profile.InFiles)))
				return func() { d.must(os.Rename(elsewhere, d.sessionFile(profile.InFiles))) }
			}},
		"lock file is a directory": {store: profile.InFiles, code: exit.Config, next: "move it away",
			spoil: inTheWay(".lock", func(path string) error { return os.Mkdir(path, 0o700) })},
		"lock file is a pipe": {store: profile.InFiles, code: exit.Config, next: "move it away",
			spoil: inTheWay(".lock", func(path string) error { return syscall.Mkfifo(path, 0o600) })},
		"write lock is a directory": {store: profile.InFiles, code: exit.Config, next: "move it away",
			spoil: inTheWay(".write", func(path string) error { return os.Mkdir(path, 0o700) })},
		"lock file is a link to itself": {store: profile.InFiles, code: exit.Config, next: "move it away",
			spoil: inTheWay(".lock", func(path string) error { return os.Symlink(filepath.Base(path), path) })},
		"lock file leads nowhere": {store: profile.InFiles, code: exit.Config, next: "--dir or EVERTOKEN_DIR",
			spoil: inTheWay(".lock", func(path string) error { return os.Symlink("/nowhere/at/all", path) })},
		"network disk is stale": {store: profile.InKeyring, code: exit.Temporary, next: "check the disk",
			spoil: fails(saving, &tokenstore.PlaceError{Err: syscall.ESTALE, Advice: "check the disk", Passes: true})},
		"fsync fails": {store: profile.InKeyring, code: exit.Temporary, next: "try again",
			spoil: fails(saving, &tokenstore.PlaceError{Err: &fs.PathError{Op: "sync", Path: "x", Err: syscall.EIO}, Advice: "try again", Passes: true})},
		"flock says ENOLCK":     {store: profile.InKeyring, code: exit.Config, next: "local disk with --dir", spoil: fails(locking, noLocks(syscall.ENOLCK))},
		"flock says EOPNOTSUPP": {store: profile.InKeyring, code: exit.Config, next: "local disk with --dir", spoil: fails(locking, noLocks(syscall.EOPNOTSUPP))},
		"flock says ENOSYS":     {store: profile.InKeyring, code: exit.Config, next: "local disk with --dir", spoil: fails(locking, noLocks(syscall.ENOSYS))},
		"flock says EBADF":      {store: profile.InKeyring, code: exit.Config, next: "local disk with --dir", spoil: fails(locking, noLocks(syscall.EBADF))},
	}
}

func TestF73_TheSessionOutlivesAPlaceThatCannotBeUsed(t *testing.T) {
	for name, c := range spoiledPlaces() {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			if c.prepare != nil {
				c.prepare(d)
			}
			d.mustLogin(c.store)
			d.refreshes() // so that there are lock files
			mend := c.spoil(d)
			if got := d.token(); !c.unread && (got.code != exit.OK || got.stdout == "" || got.stderr != "") {
				t.Errorf("a living token: exit code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
			}
			mend()
			d.refreshes()
			d.age(2 * time.Minute)
			mend = c.spoil(d)
			before, logins := d.server.Requests(oauthtest.TokenEndpoint), d.server.Requests(oauthtest.AuthorizeEndpoint)
			if got := d.token(); !c.unread && (got.code != exit.OK || got.stdout == "" || !strings.Contains(got.stderr, c.next)) {
				t.Errorf("one that is due: exit code %d, stdout %q, stderr %q; want a warning", got.code, got.stdout, got.stderr)
			}
			mend()
			d.expire()
			mend = c.spoil(d)
			if !c.deletes {
				if got := d.logout(); got.code != c.code || !strings.Contains(got.stderr, c.next) || d.server.Sessions("alice") == 0 {
					t.Errorf("logout: exit code %d, stderr %q; want %d, %q, and the session alive at the server", got.code, got.stderr, c.code, c.next)
				}
			}
			for command, got := range map[string]ran{"token": d.token(), "refresh": d.refresh(), "get": d.get()} {
				if got.code != c.code || got.stdout != "" || !strings.Contains(got.stderr, c.next) || strings.Contains(got.stderr, "--verbose") {
					t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %d, nothing, %q", command, got.code, got.stdout, got.stderr, c.code, c.next)
				}
			}
			if n := d.server.Requests(oauthtest.TokenEndpoint) - before; n != 0 {
				t.Errorf("%d requests reached the server; want none", n)
			}
			if code, said := d.login(""); code != c.code || !strings.Contains(said, c.next) {
				t.Errorf("login: exit code %d, said %q; want %d, %q", code, said, c.code, c.next)
			}
			if n := d.server.Requests(oauthtest.AuthorizeEndpoint) - logins; n != 0 {
				t.Errorf("login made %d requests to the server; want none", n)
			}
			mend()
			if got := d.token(); got.code != exit.OK || got.stdout == "" {
				t.Errorf("afterwards: exit code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
			}
			for _, mistake := range d.server.Audit() {
				t.Errorf("the server saw a mistake: %v", mistake)
			}
		})
	}
}

// Room was made and files were opened before the refresh token was sent: what happens to
// the place in that moment costs at most a warning.
func TestF73_AnAnswerIsKeptWhateverHappensToThePlaceMeanwhile(t *testing.T) {
	for name, spoil := range map[string]func(d *desk) (mend func()){
		"disk full":                   fill,
		"no inodes left":              noInodes,
		"directory turned read-only":  (*desk).readOnly,
		"directory cannot be changed": immutable,
		"too many open files":         noDescriptors,
		"record is a mount":           recordMounted,
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{t: t, server: oauthtest.New(oauthtest.Config{})}
			s := sessionAt(t, d.server, profile.Manners{}, func(dir string) {
				d.app = &app{common: common{Dir: dir}}
				if name == "disk full" || name == "no inodes left" {
					smallDisk(d)
				}
			})
			d.app = s.app
			s.app.stderr = &d.stderr
			d.expireIn(s)
			cfg := d.server.OAuthConfig()
			next, mend := cfg.HTTPClient.Transport, func() {}
			cfg.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				mend = spoil(d)
				return next.RoundTrip(r)
			})}
			s.client = oauth.NewClient(cfg)
			begun := time.Now()
			got := d.ran(func() error { return new(tokenCmd).serve(t.Context(), s.app, s) })
			mend()
			if took := time.Since(begun); got.stdout == "" || took > time.Minute {
				t.Errorf("after %v: exit code %d, stdout %q, stderr %q; want the new token", took, got.code, got.stdout, got.stderr)
			}
			if got.code != exit.OK && got.code != exit.Temporary && got.code != exit.Config {
				t.Errorf("exit code %d: %s", got.code, got.stderr)
			}
			s.client = oauth.NewClient(d.server.OAuthConfig())
			for range 2 {
				d.expireIn(s)
				if got := d.ran(func() error { return new(tokenCmd).serve(t.Context(), s.app, s) }); got.code != exit.OK || got.stdout == "" {
					t.Errorf("afterwards: exit code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
				}
			}
			if n := d.server.Refreshes(); n != 3 {
				t.Errorf("%d refreshes; want 3", n)
			}
			for _, mistake := range d.server.Audit() {
				t.Errorf("the server saw a mistake: %v", mistake)
			}
		})
	}
}

type roundTripper func(r *http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// expireIn is expire for a session that is open.
func (d *desk) expireIn(s *session) {
	d.t.Helper()
	rec, err := s.store.Get(d.t.Context(), s.app.Profile)
	d.must(err)
	rec.Tokens.ExpiresAt = time.Now().Add(-time.Second)
	rec.Tokens.IssuedAt = rec.Tokens.ExpiresAt.Add(-15 * time.Minute)
	_, err = s.store.Set(d.t.Context(), s.app.Profile, rec)
	d.must(err)
}

// token runs the command, which does not wait for a new token.
func (d *desk) token() ran {
	return d.ran(func() error { return (&tokenCmd{waitFlag: waitFlag{new(time.Millisecond)}}).Run(d.t.Context(), d.app) })
}

func (d *desk) refresh() ran {
	return d.ran(func() error { return refreshCmd{}.Run(d.t.Context(), d.app) })
}

func (d *desk) logout() ran {
	return d.ran(func() error { return (&logoutCmd{}).Run(d.t.Context(), d.app) })
}

func (d *desk) get() ran {
	return d.ran(func() error {
		return (&getCmd{URL: d.server.Resource(), waitFlag: waitFlag{new(time.Millisecond)}}).Run(d.t.Context(), d.app)
	})
}

func (d *desk) ran(command func() error) ran {
	var stdout bytes.Buffer
	d.stdout = &stdout
	d.stderr.Reset()
	code := d.report(command())
	return ran{code, stdout.String(), d.stderr.String()}
}

// expire makes the access token one that has just ended.
func (d *desk) expire() { d.age(-time.Second) }

// age makes the access token one of which so much is left.
func (d *desk) age(left time.Duration) {
	d.t.Helper()
	p, err := d.loadProfile()
	d.must(err)
	store, err := d.openStore(d.t.Context(), p)
	d.must(err)
	rec, err := store.Get(d.t.Context(), d.Profile)
	d.must(err)
	rec.Tokens.ExpiresAt = time.Now().Add(left)
	rec.Tokens.IssuedAt = rec.Tokens.ExpiresAt.Add(-15 * time.Minute)
	_, err = store.Set(d.t.Context(), d.Profile, rec)
	d.must(err)
}

func TestF73_ALinkedDirectoryIsFine(t *testing.T) {
	d := newDesk(t)
	link := filepath.Join(t.TempDir(), "link")
	d.must(os.Symlink(d.Dir, link))
	d.Dir = link
	d.mustLogin(profile.InFiles)
	d.expire()
	if got := d.token(); got.code != exit.OK {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
}

func TestATokenThatLivesIsServedWhileSomebodyElseRenewsIt(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InFiles)
	d.age(2 * time.Minute)
	store, err := tokenstore.NewFile(d.Dir)
	d.must(err)
	lease, err := store.Lock(t.Context(), d.Profile)
	d.must(err)
	defer func() { d.must(lease.Unlock()) }()
	if got := d.token(); got.code != exit.OK || got.stdout == "" || got.stderr != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q; want the token and no warning", got.code, got.stdout, got.stderr)
	}
}

func TestAProfileThatCannotBeSavedIsFoundOutBeforeTheLogin(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InFiles)
	path, err := d.profilePath()
	d.must(err)
	elsewhere := filepath.Join(t.TempDir(), "profile")
	data, err := os.ReadFile(path)
	d.must(err)
	d.must(os.WriteFile(elsewhere, data, 0o600))
	defer d.mount(elsewhere, path, "", syscall.MS_BIND, "")()
	logins := d.server.Requests(oauthtest.AuthorizeEndpoint)
	if code, said := d.login(""); code != exit.Config || !strings.Contains(said, "mount the directory") {
		t.Errorf("exit code %d, said %q", code, said)
	}
	if n := d.server.Requests(oauthtest.AuthorizeEndpoint) - logins; n != 0 {
		t.Errorf("login made %d requests to the server; want none", n)
	}
}

func TestSomethingElseInThePlaceOfAProfileIsSaid(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.mustLogin(profile.InFiles)
			path, err := d.profilePath()
			d.must(err)
			d.must(os.Remove(path))
			d.must(put(path))
			logins := d.server.Requests(oauthtest.AuthorizeEndpoint)
			code, said := d.login(profile.InFiles)
			for command, got := range map[string]ran{"token": d.token(), "login": {code: code, stderr: said}} {
				if got.code != exit.Config || !strings.Contains(got.stderr, "move it away") {
					t.Errorf("%s: exit code %d, stderr %q", command, got.code, got.stderr)
				}
			}
			if n := d.server.Requests(oauthtest.AuthorizeEndpoint) - logins; n != 0 {
				t.Errorf("login made %d requests to the server; want none", n)
			}
		})
	}
}

func TestCheckingAProfileLeavesNothingBehind(t *testing.T) {
	a := testApp(t)
	d := &desk{t: t, app: a}
	file, err := a.file()
	d.must(err)
	d.must(file.Check())
	if entries, err := os.ReadDir(filepath.Dir(file.Path())); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestALogoutOnAFullDiskWorks(t *testing.T) {
	d := newDesk(t)
	defer d.mount("tmpfs", d.Dir, "tmpfs", 0, "size=256k,mode=0700")()
	d.mustLogin(profile.InFiles)
	_ = os.WriteFile(filepath.Join(d.Dir, "filler"), make([]byte, 1<<20), 0o600) // as much as there is room for
	if got := d.logout(); got.code != exit.OK || exists(d.sessionFile(profile.InFiles)) || d.server.Sessions("alice") != 0 {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
}

func TestAForcedLogoutEndsTheSessionWhereNothingCanBeDeleted(t *testing.T) {
	d := newDesk(t)
	d.mustLogin(profile.InFiles)
	defer d.readOnly()()
	got := d.ran(func() error { return (&logoutCmd{Force: true}).Run(t.Context(), d.app) })
	if got.code != exit.Config || d.server.Sessions("alice") != 0 {
		t.Errorf("exit code %d, stderr %q; %d sessions at the server", got.code, got.stderr, d.server.Sessions("alice"))
	}
}
