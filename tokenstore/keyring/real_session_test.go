//go:build real && linux

package keyring_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// missing ends a test for which a real part is missing.
func missing(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("EVERTOKEN_REQUIRE_REAL") == "1" || os.Getenv("CI") == "true" {
		t.Fatalf("%s; run ./setup.sh", reason)
	}
	t.Skipf("%s; run ./setup.sh (EVERTOKEN_REQUIRE_REAL=1 makes this a failure)", reason)
}

// need returns the path of a program.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, "there is no "+program)
	}
	return path
}

// shortDir is a directory whose path leaves room in the 108 bytes for a socket's,
// which those of t.TempDir may not.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kr-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { testdir.Remove(dir) })
	return dir
}

// A bus is a session bus of a test's own, with what belongs to it. Nothing of the
// person who runs the test is in reach.
type bus struct {
	t       *testing.T
	dir     string // for everything
	env     []string
	address string
	cmd     *exec.Cmd
	daemon  int        // the process of the keyring that keyringDaemon has started, or 0
	clients []int      // processes that client has started
	conn    *dbus.Conn // the test's own view of the bus
}

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:tmpdir=%s</listen><auth>EXTERNAL</auth>%s
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
`

// services are the system's own service files: what a desktop session has.
const services = "<servicedir>/usr/share/dbus-1/services</servicedir>"

// startBus starts a bus. config says where its service files are, and env is added
// to the environment of all that runs on it.
func startBus(t *testing.T, config string, env ...string) *bus {
	t.Helper()
	return startBusIn(t, shortDir(t), config, env...)
}

// startBusIn does the same over the keyring that a bus before has left in dir.
func startBusIn(t *testing.T, dir, config string, env ...string) *bus {
	t.Helper()
	b := &bus{t: t, dir: dir}
	for _, sub := range []string{"data", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.env = append(cleanEnv(), append(env, "XDG_DATA_HOME="+filepath.Join(dir, "data"), "XDG_RUNTIME_DIR="+filepath.Join(dir, "run"))...)
	file := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, busConfig, dir, config), 0o600); err != nil {
		t.Fatal(err)
	}
	b.cmd = exec.Command(need(t, "dbus-daemon"), "--config-file="+file, "--nofork", "--nopidfile", "--nosyslog", "--print-address=1")
	b.cmd.Env = b.env
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.end)
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("dbus-daemon: %v", err)
	}
	b.address = strings.TrimSpace(address)
	b.env = append(b.env, "DBUS_SESSION_BUS_ADDRESS="+b.address)
	if b.conn, err = dbus.Connect(b.address); err != nil {
		t.Fatal(err)
	}
	return b
}

// cleanEnv is the environment without what leads to a person's session.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{
			"DISPLAY", "WAYLAND_DISPLAY", "GNOME_KEYRING_CONTROL", "DBUS_SESSION_BUS_ADDRESS", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "CI",
		}, name)
	})
}

// keyringDaemon starts the keyring with its password, which unlocks it, and returns
// its process.
func (b *bus) keyringDaemon() (pid int) {
	b.t.Helper()
	// The first call leaves a daemon behind that is unlocked, the second has it come
	// to the bus.
	for _, action := range []string{"--unlock", "--start"} {
		cmd := exec.Command(need(b.t, "gnome-keyring-daemon"), action, "--components=secrets")
		cmd.Env = b.env
		cmd.Stdin = strings.NewReader(password)
		if err := cmd.Run(); err != nil {
			b.t.Fatalf("gnome-keyring-daemon %s: %v", action, err)
		}
	}
	teststore.Await(b.t, "gnome-keyring-daemon comes up", func() bool {
		b.daemon = b.pidOf("org.freedesktop.secrets")
		return b.daemon != 0
	})
	return b.daemon
}

// killDaemon ends the keyring in the rudest way, which also works if it is stopped.
func (b *bus) killDaemon() {
	if b.daemon == 0 {
		return
	}
	_ = unix.Kill(b.daemon, unix.SIGKILL)
	if !ends(b.daemon) {
		b.t.Errorf("process %d cannot be killed", b.daemon)
	}
	b.daemon = 0
}

const password = "test-password"

// pids returns the processes that the bus has started.
func (b *bus) pids() []int {
	var names []string
	if err := b.conn.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names); err != nil {
		return nil
	}
	ours := append([]int{0, os.Getpid(), b.cmd.Process.Pid}, b.clients...)
	var pids []int
	for _, name := range names {
		if pid := b.pidOf(name); !slices.Contains(ours, pid) && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// pidOf returns the process that owns a name on the bus, or 0.
func (b *bus) pidOf(name string) int {
	var pid uint32
	if b.conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, name).Store(&pid) != nil {
		return 0
	}
	return int(pid)
}

// end stops the bus, and fails the test if anything that the bus has started stays.
func (b *bus) end() {
	if b.cmd.ProcessState != nil {
		return
	}
	b.killDaemon()
	var left []int
	if b.conn != nil {
		left = b.pids()
		_ = b.conn.Close()
	}
	_ = b.cmd.Process.Signal(unix.SIGTERM)
	_ = b.cmd.Wait()
	for _, pid := range left {
		if !ends(pid) {
			b.t.Errorf("process %d outlives its bus", pid)
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// ends waits for a process to end, which need not be a child.
func ends(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return true
	}
	defer func() { _ = unix.Close(fd) }()
	for until := time.Now().Add(soon); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Until(until).Milliseconds()))
		if !errors.Is(err, unix.EINTR) || time.Now().After(until) {
			return n == 1
		}
	}
}

// display starts an X server without a screen, and returns the variable that leads
// there.
func display(t *testing.T) string {
	t.Helper()
	need(t, "xdotool")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	cmd := exec.Command(need(t, "Xvfb"), "-displayfd", "3", "-screen", "0", "800x600x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{write}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it removes its lock file
		_ = cmd.Wait()
	})
	number, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb: %v", err)
	}
	return "DISPLAY=:" + strings.TrimSpace(number)
}

// answer waits for the window that asks for the password, and types there.
func (b *bus) answer(keys ...string) {
	b.t.Helper()
	b.xdotool("search", "--sync", "--onlyvisible", "--name", "Unlock", "windowfocus", "--sync") // one that does not show yet takes no focus
	if len(keys) > 0 {
		b.xdotool(append([]string{"key", "--delay", "20"}, keys...)...)
	}
}

func (b *bus) xdotool(args ...string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, "xdotool", args...)
	cmd.Env = b.env
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("xdotool %q: %v\n%s", args, err, out)
	}
}

// passwordKeys are what a person types.
func passwordKeys() []string {
	var keys []string
	for _, r := range password {
		if r == '-' {
			keys = append(keys, "minus")
		} else {
			keys = append(keys, string(r))
		}
	}
	return append(keys, "Return")
}

// A client is a process that uses the stores as programs do. Its commands are those
// of serve.
type client struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	log   *strings.Builder
}

// client starts a process on the bus, whose locks are in the bus' directory.
func (b *bus) client(env ...string) *client {
	b.t.Helper()
	c := startClient(b.t, filepath.Join(b.dir, "locks"), filepath.Join(b.dir, "sessions"), append(b.env, env...))
	b.clients = append(b.clients, c.cmd.Process.Pid)
	return c
}

func startClient(t *testing.T, root, dir string, env []string) *client {
	t.Helper()
	cmd := exec.Command(os.Args[0], root, dir)
	cmd.Env = append(slices.Clone(env), helperEnv+"=serve", "GORACE=atexit_sleep_ms=0")
	c := &client{t: t, cmd: cmd, log: new(strings.Builder)}
	cmd.Stderr = c.log
	var err error
	if c.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(stdout)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return c
}

// send begins a command, and result returns how the oldest one ended: its word, and
// how long it took.
func (c *client) send(command string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, command); err != nil {
		c.t.Fatalf("%v: %s", err, c.log)
	}
}

func (c *client) result() (word, text string, took time.Duration) {
	c.t.Helper()
	if !c.lines.Scan() {
		c.t.Fatalf("the process ended early: %s", c.log)
	}
	fields := strings.SplitN(c.lines.Text(), "\t", 3)
	ms, err := strconv.Atoi(fields[1])
	if err != nil {
		c.t.Fatalf("the process says %q", c.lines.Text())
	}
	return fields[0], fields[2], time.Duration(ms) * time.Millisecond
}

// want sends a command and requires that it ends with the given word.
func (c *client) want(command, word string) (text string, took time.Duration) {
	c.t.Helper()
	c.send(command)
	return c.wantResult(command, word)
}

func (c *client) wantResult(command, word string) (text string, took time.Duration) {
	c.t.Helper()
	got, text, took := c.result()
	if got != word {
		c.t.Fatalf("%s: %s (%s); want %s", command, got, text, word)
	}
	return text, took
}
