package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A product is a bridge that is compared.
type product struct {
	name    string
	command []string // before the server's address
	after   []string // and after it
}

// A home is a person's machine: where a product keeps its files.
type home struct {
	dir string
	env []string
}

// newHome returns an empty one. Its browser tells the person of windows.
func newHome(dir, desk string) (*home, error) {
	h := &home{dir: dir}
	bin := filepath.Join(dir, "bin")
	for _, d := range []string{bin, filepath.Join(dir, "home")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for _, name := range browsers {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			return nil, err
		}
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "HOME" && name != "PATH" && name != "TMPDIR" && name != "DISPLAY" {
			h.env = append(h.env, v)
		}
	}
	h.env = append(h.env, "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+filepath.Join(dir, "home"), "TMPDIR="+filepath.Join(dir, "tmp"),
		"BROWSER="+filepath.Join(bin, browsers[0]), deskEnv+"="+desk, "DBUS_SESSION_BUS_ADDRESS=disabled:",
		"EVERTOKEN_DIR="+filepath.Join(dir, "kept"), "EVERTOKEN_STORE=file", "MCP_REMOTE_CONFIG_DIR="+filepath.Join(dir, "kept"),
		"GORACE=atexit_sleep_ms=0") // the race detector's processes sleep for a second when they end
	return h, h.boot()
}

// boot makes an empty directory for temporary files, as a machine does that starts.
func (h *home) boot() error {
	tmp := filepath.Join(h.dir, "tmp")
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	return os.Mkdir(tmp, 0o700)
}

// A bridge is a process, seen by the program that has started it.
type bridge struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	ended chan struct{}

	mu      sync.Mutex // guards what follows; never held across I/O
	last    int
	waiting map[int]chan error
	gone    bool
	said    strings.Builder // on stderr
}

// errNoAnswer is why a call has failed for which a program has waited long enough.
var errNoAnswer = errors.New("no answer in time")

// start starts a bridge to the server.
func (h *home) start(p product, address string) (*bridge, error) {
	args := append(append(p.command[1:len(p.command):len(p.command)], address), p.after...)
	b := &bridge{cmd: exec.Command(p.command[0], args...), ended: make(chan struct{}), waiting: make(map[int]chan error)}
	b.cmd.Env = h.env
	b.cmd.Stderr = b
	in, err := b.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b.in = in
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	go b.hear(out)
	return b, nil
}

// Write keeps what the process says on stderr.
func (b *bridge) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said.Write(text)
}

// hear hands answers to those who wait for them, until the process has ended.
func (b *bridge) hear(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var m struct {
			ID     *int            `json:"id"`
			Result json.RawMessage `json:"result"`
			Error  *struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if json.Unmarshal(line, &m) != nil || m.ID == nil {
			continue
		}
		var result error
		if m.Error != nil {
			result = errors.New(m.Error.Message)
		}
		b.answer(*m.ID, result)
	}
	_ = b.cmd.Wait()
	close(b.ended)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	for id, c := range b.waiting {
		c <- errors.New("the bridge has ended")
		delete(b.waiting, id)
	}
}

func (b *bridge) answer(id int, result error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.waiting[id]; c != nil {
		c <- result
		delete(b.waiting, id)
	}
}

// ask sends a request and waits for its answer.
func (b *bridge) ask(method, params string, limit time.Duration) error {
	c := make(chan error, 1)
	b.mu.Lock()
	if b.gone {
		b.mu.Unlock()
		return errors.New("the bridge has ended")
	}
	b.last++
	id := b.last
	b.waiting[id] = c
	b.mu.Unlock()
	if _, err := fmt.Fprintf(b.in, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", id, method, params); err != nil {
		return err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-c:
		return err
	case <-timer.C:
		return errNoAnswer
	}
}

// initialize begins the session.
func (b *bridge) initialize(limit time.Duration) error {
	err := b.ask("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"compare","version":"1"}}`, limit)
	if err != nil {
		return err
	}
	_, err = io.WriteString(b.in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
	return err
}

func (b *bridge) signal(s syscall.Signal) { _ = b.cmd.Process.Signal(s) }

// kill ends the process as a machine does that has no memory left.
func (b *bridge) kill() {
	b.signal(syscall.SIGKILL)
	<-b.ended
}

// end closes the program's side, and returns how long the process took to end; one that
// takes longer than the limit is killed.
func (b *bridge) end(limit time.Duration) time.Duration {
	_ = b.in.Close()
	return b.awaitEnd(limit)
}

func (b *bridge) awaitEnd(limit time.Duration) time.Duration {
	began := time.Now()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-b.ended:
	case <-timer.C:
		b.kill()
	}
	return time.Since(began)
}

// The states of sockets in Linux' tables.
const (
	connected = "01"
	listening = "0A"
)

// holds reports whether the process has the socket in the given state whose own port is the
// given one.
func (b *bridge) holds(port, state string) bool {
	for _, inode := range socketsAt(port, state) {
		dir := fmt.Sprintf("/proc/%d/fd", b.cmd.Process.Pid)
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			if to, err := os.Readlink(filepath.Join(dir, f.Name())); err == nil && to == "socket:["+inode+"]" {
				return true
			}
		}
	}
	return false
}

// socketsAt returns the inodes of sockets at a port.
func socketsAt(port, state string) (inodes []string) {
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil
	}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == state && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
				inodes = append(inodes, f[9])
			}
		}
	}
	return inodes
}
