//go:build real && linux

package keyring_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/keyring"
	"golang.org/x/sys/unix"
)

// both are the commands that open the two kinds of store.
var both = []string{"open", "direct"}

func TestRealKeyring(t *testing.T) {
	for _, kind := range both {
		t.Run(kind, func(t *testing.T) {
			b := startBus(t, services)
			b.keyringDaemon()
			c := b.client()
			c.want(kind, "ok")
			c.want("get default", "not-found")
			c.want("set default first", "ok")
			c.want("set default second", "ok")

			other := b.client()
			other.want(kind, "ok")
			if text, _ := other.want("get default", "ok"); !strings.Contains(text, "second") {
				t.Errorf("another process reads %q", text)
			}
			other.want("many 32 default", "ok")
		})
	}
}

func TestRealKeyringsThatCannotBeUsed(t *testing.T) {
	hangs := "hangs.service"
	for name, test := range map[string]struct {
		bus  func(t *testing.T) []string // the environment of the process
		want string
	}{
		"no bus": {func(t *testing.T) []string {
			return append(cleanEnv(), "XDG_RUNTIME_DIR="+shortDir(t))
		}, "no-keyring"},
		"no bus, and no way to start one": {func(t *testing.T) []string {
			return append(cleanEnv(), "PATH=/nonexistent", "XDG_RUNTIME_DIR="+shortDir(t))
		}, "no-keyring"},
		"dead socket": {func(t *testing.T) []string {
			return append(cleanEnv(), "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent")
		}, "no-keyring"},
		"bus disabled": {func(t *testing.T) []string {
			return append(cleanEnv(), "DBUS_SESSION_BUS_ADDRESS=disabled:")
		}, "no-keyring"},
		"bus without service": {func(t *testing.T) []string { return startBus(t, "").env }, "no-keyring"},
		"service exits": {func(t *testing.T) []string {
			return startBus(t, serviceFile(t, "exits.service", "exit 1")).env
		}, "no-keyring"},
		"F35: service hangs at its start": {func(t *testing.T) []string {
			return startBus(t, serviceFile(t, hangs, "exec sleep 600")).env
		}, "timeout"},
		"F35: service hangs later": {func(t *testing.T) []string {
			b := startBus(t, services)
			if err := unix.Kill(b.keyringDaemon(), unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			return b.env
		}, "timeout"},
		"F35: deaf socket": {func(t *testing.T) []string {
			path := filepath.Join(shortDir(t), "bus")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			return append(cleanEnv(), "DBUS_SESSION_BUS_ADDRESS=unix:path="+path)
		}, "timeout"},
		"locked without display": {func(t *testing.T) []string { return lockedBus(t).env }, "locked"},
		"locked with a display in CI": {func(t *testing.T) []string {
			return append(lockedBus(t, display(t)).env, "CI=true")
		}, "locked"},
	} {
		t.Run(name, func(t *testing.T) {
			env := test.bus(t)
			dir := shortDir(t)
			c := startClient(t, filepath.Join(dir, "locks"), filepath.Join(dir, "sessions"), append(env, starter+"="+dir))
			if test.want == "timeout" {
				c.want("timeout 1s", "ok")
			}
			for _, kind := range both {
				if _, took := c.want(kind, test.want); took > soon || test.want == "timeout" && took < time.Second {
					t.Errorf("%s: %s after %v; want it after the limit of 1 s", kind, test.want, took)
				}
			}
			if text, _ := c.want("stuck", "ok"); text != "0" && text != "1" {
				t.Errorf("%s goroutines are stuck; want at most one", text)
			}
			if files, _ := filepath.Glob(filepath.Join(dir, "sessions", "*")); len(files) > 0 {
				t.Errorf("without a keyring there are files %q", files)
			}
			if left := startedBy(t, dir, c.cmd.Process.Pid); len(left) > 0 {
				t.Errorf("it has started %q", left)
			}
		})
	}
}

// serviceFile returns the configuration of a bus whose Secret Service is a script,
// which is killed when the test ends.
func serviceFile(t *testing.T, name, script string) string {
	t.Helper()
	dir := shortDir(t)
	pid := filepath.Join(dir, "pid")
	program := filepath.Join(dir, "service")
	writeFile(t, program, fmt.Sprintf("#!/bin/sh\necho $$ >%s\n%s\n", pid, script), 0o700)
	writeFile(t, filepath.Join(dir, name), "[D-BUS Service]\nName=org.freedesktop.secrets\nExec="+program+"\n", 0o600)
	t.Cleanup(func() {
		data, err := os.ReadFile(pid)
		if err != nil {
			return
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && n > 1 {
			_ = unix.Kill(n, unix.SIGKILL) // it has none of our files by now, or is gone
			ends(n)
		}
	})
	return "<servicedir>" + dir + "</servicedir>"
}

func writeFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// starter is a variable of a process under test, which those have too that it starts, as
// a bus or a keyring of its own.
const starter = "EVERTOKEN_KEYRING_STARTER"

// startedBy lists the processes, apart from one, with the given starter.
func startedBy(t *testing.T, dir string, but int) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d processes, %v", len(all), err)
	}
	for _, path := range all {
		environ, err := os.ReadFile(path) // which fails for one that has ended
		if err != nil || !slices.Contains(strings.Split(string(environ), "\x00"), starter+"="+dir) {
			continue
		}
		if path != fmt.Sprintf("/proc/%d/environ", but) {
			args, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			found = append(found, string(args))
		}
	}
	return found
}

// lockedBus returns a bus over a keyring that exists and is locked.
func lockedBus(t *testing.T, env ...string) *bus {
	t.Helper()
	dir := shortDir(t)
	first := startBusIn(t, dir, services)
	first.keyringDaemon()
	c := first.client()
	for _, kind := range both {
		c.want(kind, "ok")
		c.want("set default saved", "ok")
	}
	first.end()
	return startBusIn(t, dir, services, env...)
}

func TestRealKeyringThatIsLocked(t *testing.T) {
	for _, kind := range both {
		t.Run(kind+", nobody answers", func(t *testing.T) {
			b := lockedBus(t, display(t))
			c := b.client()
			// The second call waits for the end of the first one's question, for as long as any call.
			for _, limit := range []string{"prompt 2s", "timeout 2s"} {
				c.want(limit, "ok")
				if _, took := c.want(kind, "locked"); took < 2*time.Second || took > soon {
					t.Errorf("it took %v; want 2 s", took)
				}
			}
			if text, _ := c.want("stuck", "ok"); text != "1" {
				t.Errorf("%s goroutines are stuck; want one", text)
			}
		})
		t.Run(kind+", nobody may be asked", func(t *testing.T) {
			c := lockedBus(t, display(t)).client()
			c.want("prompt -1s", "ok")
			c.want(kind, "locked")
			if text, _ := c.want("stuck", "ok"); text != "0" {
				t.Errorf("%s goroutines are stuck; want none", text)
			}
		})
		t.Run(kind+", Escape", func(t *testing.T) {
			b := lockedBus(t, display(t))
			c := b.client()
			c.send(kind)
			b.answer("Escape")
			c.wantResult(kind, "locked")
		})
		t.Run(kind+", the password is typed", func(t *testing.T) {
			b := lockedBus(t, display(t))
			c := b.client()
			c.send(kind)
			b.answer(passwordKeys()...)
			c.wantResult(kind, "ok")
			if text, _ := c.want("get default", "ok"); !strings.Contains(text, "saved") {
				t.Errorf("the session is %q", text)
			}
		})
		t.Run(kind+", the bus dies under the question", func(t *testing.T) {
			b := lockedBus(t, display(t))
			c := b.client()
			c.send(kind)
			b.answer()
			b.end()
			c.wantResult(kind, "no-keyring")
			c.want(kind, "no-keyring")
		})
	}
}

func TestRealKeyringWhoseServiceIsKilled(t *testing.T) {
	b := startBus(t, services)
	b.keyringDaemon()
	c := b.client()
	c.want("direct", "ok")
	c.want("set default saved", "ok")
	b.killDaemon()
	// The bus starts another one, which is locked.
	c.want("get default", "locked")
	c.want("set default lost", "locked")
	b.end()

	again := startBusIn(t, b.dir, services)
	again.keyringDaemon()
	c = again.client()
	c.want("direct", "ok")
	if text, _ := c.want("get default", "ok"); !strings.Contains(text, "saved") {
		t.Errorf("the session is %q", text)
	}
}

// Eight processes with homes and directories of their own see one keyring, and count
// together (F13).
func TestF13_RealProcessesShareOneLock(t *testing.T) {
	b := startBus(t, services)
	b.keyringDaemon()
	name := fmt.Sprintf("evertoken-test-%d", os.Getpid())
	root, err := keyring.LockRoot()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { testdir.Remove(filepath.Join(root, name)) })
	first := startClient(t, "", b.dir, append(b.env, "EVERTOKEN_KEYRING_SERVICE="+name))
	first.want("direct", "ok")
	first.want("set default 0", "ok")
	first.want("number default 0", "ok")

	var running []*exec.Cmd
	logs := make([]strings.Builder, countProcesses)
	for i := range countProcesses {
		home := filepath.Join(b.dir, fmt.Sprint("home", i))
		cmd := exec.Command(os.Args[0], "", filepath.Join(home, "sessions"), name)
		cmd.Env = append(b.env, helperEnv+"=count", "GORACE=atexit_sleep_ms=0", "HOME="+home, "XDG_STATE_HOME="+home, "XDG_CONFIG_HOME="+home)
		cmd.Stderr = &logs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	for i, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v: %s", i, err, &logs[i])
		}
	}
	want := strconv.Itoa(countProcesses * countEach)
	if text, _ := first.want("number default", "ok"); text != want {
		t.Errorf("%d processes counted to %s; want %s", countProcesses, text, want)
	}
}

func TestRealProcessesThatStartTogetherGetOneKey(t *testing.T) {
	b := startBus(t, services)
	b.keyringDaemon()
	var clients []*client
	for i := range 8 {
		c := b.client()
		c.send("open")
		c.send(fmt.Sprintf("set s%d text%d", i, i))
		clients = append(clients, c)
	}
	for _, c := range clients {
		c.wantResult("open", "ok")
		c.wantResult("set", "ok")
	}
	reader := b.client()
	reader.want("open", "ok")
	for i := range clients {
		reader.want(fmt.Sprintf("get s%d", i), "ok")
	}
}

// What an independent program finds in the keyring is what the documentation says.
func TestRealItemsAreWhereTheDocumentationSays(t *testing.T) {
	lookup := func(b *bus, item string) string {
		cmd := exec.Command(need(t, "secret-tool"), "lookup", "service", service, "username", item)
		cmd.Env = b.env
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("secret-tool lookup of %q: %v", item, err)
		}
		return string(out)
	}
	b := startBus(t, services)
	b.keyringDaemon()
	c := b.client()
	c.want("open", "ok")
	if _, err := tokenstore.ParseKey(lookup(b, "sealing-key")); err != nil {
		t.Errorf("the item of Open: %v", err)
	}
	c.want("direct", "ok")
	c.want("set default text", "ok")
	if got := lookup(b, "session/default"); !strings.Contains(got, "access-text-"+secret) {
		t.Errorf("the item of OpenDirect is %q", got)
	}
	if got := lookup(b, "sessions"); !strings.HasSuffix(got, "\n"+`["default"]`) {
		t.Errorf("the list of sessions is %q", got)
	}
}

// Whoever watches the bus sees the key of a sealed store and no token. Direct puts
// the tokens there.
func TestRealTokensAreOnTheBusOnlyInDirect(t *testing.T) {
	for _, kind := range both {
		t.Run(kind, func(t *testing.T) {
			b := startBus(t, services)
			b.keyringDaemon()
			seen := b.monitor()
			c := b.client()
			c.want(kind, "ok")
			c.want("set default text", "ok")
			c.want("get default", "ok")
			c = b.client()
			c.want(kind, "ok")
			c.want("get default", "ok")

			traffic := seen()
			if onBus := bytes.Contains(traffic, []byte(secret)); onBus != (kind == "direct") {
				t.Errorf("the tokens are on the bus: %v", onBus)
			}
			if item := map[string]string{"open": keyring.KeyItem, "direct": "session/default"}[kind]; !bytes.Contains(traffic, []byte(item)) {
				t.Errorf("%q is not in what was seen", item)
			}
		})
	}
}

// monitor watches the bus. The function it returns returns all messages since then,
// as they were on the wire.
func (b *bus) monitor() (seen func() []byte) {
	b.t.Helper()
	cmd := exec.Command(need(b.t, "dbus-monitor"), "--binary", "--address", b.address)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var traffic bytes.Buffer
	// until reads on until the monitor has seen a mark that is left on the bus.
	until := func(mark string) {
		done := make(chan struct{})
		defer close(done)
		go b.mark(mark, done)
		for buf := make([]byte, 64<<10); !bytes.Contains(traffic.Bytes(), []byte(mark)); {
			n, err := stdout.Read(buf)
			if err != nil {
				b.t.Fatalf("dbus-monitor: %v", err)
			}
			traffic.Write(buf[:n])
		}
	}
	until("com.example.Begin")
	return func() []byte {
		until("com.example.End")
		return traffic.Bytes()
	}
}

// mark asks the bus for a name until done closes, which a monitor sees once it is
// ready.
func (b *bus) mark(name string, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
			_ = b.conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, name).Err
		}
	}
}
