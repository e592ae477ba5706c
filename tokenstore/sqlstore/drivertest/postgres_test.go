//go:build real && linux

package drivertest

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/evertoken/evertoken/internal/faultproxy"
	"github.com/evertoken/evertoken/internal/heldport"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

func init() {
	listenIn = place.listener
	databases["PostgreSQL"] = func(t testing.TB) func(testing.TB) place { return startPostgres(t).newPlace }
}

// A server is a PostgreSQL server of our own: in a directory and on a port of its
// own, at the loopback interface.
type server struct {
	t       testing.TB
	data    string
	port    int
	cmd     *exec.Cmd
	stopped chan struct{} // closed when it has ended
}

// startPostgres starts a server for the time of the test.
func startPostgres(t testing.TB) *server {
	t.Helper()
	s := &server{t: t, data: filepath.Join(newDir(t), "data"), port: holdPort(t)}
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(s.data)) })
	if out, err := asPostgres([]string{"cp", "-a", emptyCluster(t), s.data}).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

var (
	emptyOnce sync.Once
	emptyDir  string // of a server without sessions, for all tests to copy
)

// emptyCluster returns the directory of a server without sessions. To make one takes
// longer than most tests.
func emptyCluster(t testing.TB) string {
	t.Helper()
	emptyOnce.Do(func() {
		// In the order of English, Names would not be sorted as in Go.
		initdb := program(t, "initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale-provider=icu", "--icu-locale=en", "--no-sync")
		dir := newDir(t)
		atExit = append(atExit, func() { _ = os.RemoveAll(dir) })
		initdb.Args = append(initdb.Args, "-D", filepath.Join(dir, "data"))
		if out, err := initdb.CombinedOutput(); err != nil {
			t.Fatalf("initdb: %v: %s", err, out)
		}
		emptyDir = filepath.Join(dir, "data")
	})
	if emptyDir == "" {
		t.Skip("there is no PostgreSQL server; an earlier test says why")
	}
	return emptyDir
}

// newDir makes a directory that PostgreSQL's user may write to. Somebody removes it.
func newDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "evertoken-sql-")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		give(t, dir)
	}
	return dir
}

// program returns a command that runs one of PostgreSQL's programs, as somebody whom
// they accept.
func program(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range globbed("/usr/lib/postgresql/*/bin") { // Debian's, not in PATH
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	if err != nil {
		if os.Getenv("EVERTOKEN_REQUIRE_REAL") == "1" || os.Getenv("CI") == "true" {
			t.Fatalf("PostgreSQL is not installed: %v", err)
		}
		t.Skipf("PostgreSQL is not installed: %v", err)
	}
	return asPostgres(append([]string{path}, args...))
}

// asPostgres returns a command that does not run as root, and does not outlive us.
func asPostgres(argv []string) *exec.Cmd {
	if os.Getuid() == 0 {
		argv = append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=QUIT"}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	return cmd
}

func globbed(pattern string) []string {
	found, _ := filepath.Glob(pattern) // fails for a bad pattern only
	return found
}

// give makes dir the property of the user postgres.
func give(t testing.TB, dir string) {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Skipf("PostgreSQL does not run as root, and there is no other user for it: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid) // they are numbers
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
}

// holdPort returns a port that nobody else is given until the test ends, also while the
// server is down.
func holdPort(t testing.TB) int {
	t.Helper()
	p, err := heldport.Hold("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Release)
	return int(netip.MustParseAddrPort(p.Addr).Port())
}

// start starts the server, also again, and waits until it takes connections.
func (s *server) start() {
	s.t.Helper()
	s.cmd = program(s.t, "postgres", "-D", s.data, "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200", "-c", "lc_messages=C")
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, ready, stopped := s.cmd, make(chan struct{}), make(chan struct{})
	s.stopped = stopped
	go func() {
		defer close(stopped)
		once := sync.OnceFunc(func() { close(ready) })
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if strings.Contains(lines.Text(), "ready to accept connections") {
				once()
			}
		}
		_ = cmd.Wait() // killed
	}()
	select {
	case <-ready:
	case <-stopped:
		s.t.Fatal("PostgreSQL ended before it was ready")
	}
}

// kill ends the server as a crash does: it does not say goodbye, and recovers when it
// is started again.
func (s *server) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended
	<-s.stopped
}

// signal sends a signal to the server and all its processes, which are not one process group.
func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	pid := s.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for field := range strings.FieldsSeq(strconv.Itoa(pid) + " " + string(children)) {
		child, _ := strconv.Atoi(field) // it is a number
		_ = syscall.Kill(child, sig)    // it may have ended
	}
}

// place returns a new table in the server.
func (s *server) newPlace(testing.TB) place {
	return place{Driver: "pgx", Address: s.address(fmt.Sprintf("127.0.0.1:%d", s.port)), Table: newTable()}
}

func (s *server) address(hostport string) string {
	return "postgres://postgres@" + hostport + "/postgres?sslmode=disable&connect_timeout=5"
}

// behindProxy returns the same table, reached through a proxy that can fail.
func (s *server) behindProxy(p place) (place, *faultproxy.Proxy) {
	s.t.Helper()
	proxy, err := faultproxy.Listen(fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(proxy.Close)
	p.Address = s.address(proxy.Addr())
	return p, proxy
}

// listener returns a Config.Listen for the place.
func (p place) listener() func(ctx context.Context, channel string, notify func(payload string)) error {
	return func(ctx context.Context, channel string, notify func(payload string)) error {
		conn, err := pgx.Connect(ctx, p.Address)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return err
		}
		for notify(""); ; {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return err
			}
			notify(n.Payload)
		}
	}
}

// statements counts what a database is sent, and apart from that the looks at a
// record's version. A heartbeat, which comes when a while has passed, is not counted.
type statements struct{ n, looks atomic.Int32 }

func (c *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, query pgx.TraceQueryStartData) context.Context {
	switch {
	case strings.HasPrefix(query.SQL, "SELECT CAST(version AS text) FROM"):
		c.looks.Add(1)
	case !strings.HasPrefix(query.SQL, "SELECT pg_notify("):
		c.n.Add(1)
	}
	return ctx
}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A hearing is a Config.Listen whose test waits until all has been heard, and followed.
type hearing struct {
	place
	once      sync.Once
	listening chan struct{} // closed by the first notice
	channel   string        // once listening
	markers   chan struct{}
	checks    atomic.Int32 // looks of the manager
	before    atomic.Int32 // checks before the last notice
}

func (h *hearing) listen(ctx context.Context, channel string, notify func(payload string)) error {
	return h.listener()(ctx, channel, func(payload string) {
		h.once.Do(func() {
			h.channel = channel
			close(h.listening)
		})
		if payload == "marker" {
			h.markers <- struct{}{}
			return
		}
		h.before.Store(h.checks.Load())
		notify(payload)
	})
}

func (h *hearing) event(e refresh.Event) {
	if e.Kind == refresh.EventChecked {
		h.checks.Add(1)
	}
}

// settle waits until the notices of all writes have been followed. PostgreSQL delivers
// them in the order of the writes.
func (h *hearing) settle(t *testing.T) {
	t.Helper()
	if _, err := h.db(t).ExecContext(t.Context(), "SELECT pg_notify($1, 'marker')", h.channel); err != nil {
		t.Fatal(err)
	}
	<-h.markers
	for h.checks.Load() <= h.before.Load() {
		time.Sleep(time.Millisecond)
	}
}

// What a manager hears of its own writes costs nothing.
func TestASavedRefreshIsTwoStatements(t *testing.T) {
	s := startPostgres(t)
	for _, notify := range []bool{false, true} {
		p := s.newPlace(t)
		p.LeaseTime = longLease
		migrate(t, p)
		cfg, err := pgx.ParseConfig(p.Address)
		if err != nil {
			t.Fatal(err)
		}
		count := new(statements)
		cfg.Tracer = count
		db := stdlib.OpenDB(*cfg)
		t.Cleanup(func() { _ = db.Close() })
		heard := &hearing{place: p, listening: make(chan struct{}), markers: make(chan struct{}, 1)}
		storeConfig := p.config()
		if notify {
			storeConfig.Listen = heard.listen
		}
		store, err := sqlstore.New(db, storeConfig)
		if err != nil {
			t.Fatal(err)
		}
		auth := oauthtest.NewServer(oauthtest.Config{})
		t.Cleanup(auth.Close)
		tokens, err := auth.Login(oauthtest.DefaultUser)
		if err != nil {
			t.Fatal(err)
		}
		m := refresh.NewManager(refresh.Config{
			OAuthClient: oauth.NewClient(auth.OAuthConfig()), Store: store,
			CheckInterval: time.Hour, OnEvent: heard.event,
		})
		if err := m.Start(t.Context(), tokens); err != nil {
			t.Fatal(err)
		}
		renew := func() {
			t.Helper()
			if err := m.ForceRefresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if notify {
				heard.settle(t)
			}
		}
		if notify {
			<-heard.listening
		}
		renew()
		renew()
		const renewals = 8
		n, looks := count.n.Load(), count.looks.Load()
		for range renewals {
			renew()
		}
		n, looks = count.n.Load()-n, count.looks.Load()-looks
		m.Stop()
		if n != 2*renewals {
			t.Errorf("notify=%v: %d statements for %d refreshes; want 2 each", notify, n, renewals)
		}
		// A manager looks in an hour, and five seconds after the announcement of a refresh.
		if looks >= renewals {
			t.Errorf("notify=%v: %d looks for %d refreshes; want none", notify, looks, renewals)
		}
		if mistakes := auth.Audit(); len(mistakes) > 0 || len(auth.Spends()) != renewals+2 {
			t.Errorf("mistakes %v, %d spends", mistakes, len(auth.Spends()))
		}
	}
}
