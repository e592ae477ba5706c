package conformance

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is somebody else's server. It ends with the test, or with the test
// process if that is killed.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	end   func()        // asks it to end
}

// startProcess starts a server. It inherits the files, from file descriptor 3 on,
// and after them a pipe that ends when it has to.
func startProcess(t *testing.T, cmd *exec.Cmd, files ...*os.File) *process {
	t.Helper()
	ended, lifeline, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := os.Create(filepath.Join(t.TempDir(), "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.ExtraFiles = append(files, ended)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // signals reach its children, too
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// From here on only the server has them: if it dies, connections are refused
	// instead of waiting for ever.
	for _, f := range cmd.ExtraFiles {
		_ = f.Close()
	}
	p := &process{t: t, cmd: cmd, ended: make(chan struct{}), end: sync.OnceFunc(func() { _ = lifeline.Close() })}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		p.end()
		stop := time.AfterFunc(stepLimit, func() { p.signal(syscall.SIGKILL) })
		<-p.ended
		stop.Stop()
		_ = output.Close()
		if log, err := os.ReadFile(output.Name()); t.Failed() && err == nil {
			t.Logf("%s says:\n%s", filepath.Base(cmd.Path), bytes.TrimSpace(log))
		}
	})
	return p
}

// signal sends a signal to a server and its children.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// stop stops a server and its children, and waits until none of their threads runs: the
// signal alone lets those that do answer one more request.
func (p *process) stop() {
	p.signal(syscall.SIGSTOP)
	for limit := time.Now().Add(stepLimit); !stopped(p.cmd.Process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			p.t.Fatal("the server cannot be stopped")
		}
	}
}

// stopped reports whether all threads of a process group are, as far as the system shows
// them in /proc.
func stopped(group int) bool {
	threads, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/stat") // the pattern is good
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // state, parent, group
		if fields[2] == strconv.Itoa(group) && !strings.Contains("TtZX", fields[0]) {
			return false
		}
	}
	return true
}

// kill ends a server without warning, and waits until it has.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
	p.end()
}

// startListening starts a server that takes its socket as file descriptor 3 and a
// JSON object in the environment variable OPTIONS. It returns the socket's
// address. options is called with that address.
func startListening(t *testing.T, cmd *exec.Cmd, options func(addr string) any) (*process, string) {
	t.Helper()
	listener, socket := listen(t)
	addr := listener.Addr().String()
	encoded, err := json.Marshal(options(addr))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "OPTIONS="+string(encoded), "NODE_ENV=production")
	p := startProcess(t, cmd, socket)
	_ = listener.Close()
	return p, addr
}

// startAt starts a server that takes no socket from its parent, so that the shell
// has to watch the pipe for it, and waits until it listens at addr.
func startAt(t *testing.T, addr, path string, args ...string) *process {
	t.Helper()
	p := startProcess(t, exec.Command("sh", append([]string{"-c",
		`"$0" "$@" & server=$!; { read -r _ <&3; kill -9 $server; } & wait $server`, path}, args...)...))
	deadline := time.Now().Add(stepLimit)
	for time.Now().Before(deadline) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return p
		}
		select {
		case <-p.ended:
			t.Fatalf("%s ended at once", filepath.Base(path))
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not listen", filepath.Base(path))
	return nil
}

// listen opens a port for a child process.
func listen(t *testing.T) (net.Listener, *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	return l, f
}

// nodeCommand returns a command that runs a server of an npm package below dir.
func nodeCommand(t *testing.T, dir, pkg string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(nodePath(t, dir, pkg), "server.mjs")
	cmd.Dir = dir
	return cmd
}
