//go:build real && linux

package drivertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Behind PgBouncer with transaction pooling every statement may come to another
// connection of the database, and two clients may share one.
func TestStoreBehindPgBouncerKeepsThePromisesOfAStore(t *testing.T) {
	server := startPostgres(t)
	addr := startPgBouncer(t, server)
	runSuite(t, func(t testing.TB) place {
		p := server.newPlace(t)
		p.Address = server.address(addr) + "&default_query_exec_mode=exec"
		return p
	})
}

// startPgBouncer starts a PgBouncer with two connections to the server, and returns
// where it listens.
func startPgBouncer(t *testing.T, server *server) (addr string) {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/pgbouncer")
	}
	if err != nil {
		t.Skipf("PgBouncer is not installed: %v", err)
	}
	port := holdPort(t)
	config := filepath.Join(filepath.Dir(server.data), "pgbouncer.ini")
	if err := os.WriteFile(config, fmt.Appendf(nil, `[databases]
postgres = host=127.0.0.1 port=%d dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
`, server.port, port), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := asPostgres([]string{path, config})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	addr = fmt.Sprintf("127.0.0.1:%d", port)
	await(t, "PgBouncer", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return addr
}
