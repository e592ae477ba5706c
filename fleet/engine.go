package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/evertoken/evertoken/internal/sleep"
)

// patience is how long anything may take before the command gives up: far longer
// than the slowest machine needs.
const patience = time.Minute

// An engine is a redis-server or a PostgreSQL of our own, which may be killed.
type engine struct {
	kind kind
	addr string // host:port
	dir  string // of its files
	args []string
	cmd  *exec.Cmd
}

// startEngine starts an engine on the given address, with its files in dir. What it
// has acknowledged survives its death by a signal, if not a power cut: both engines
// have handed it to the kernel by then, and neither waits for the disk here.
func startEngine(ctx context.Context, k kind, ip, dir string) (*engine, error) {
	logging.Disable() // of connections that break, which they do here all the time
	port, err := freePort(ip)
	if err != nil {
		return nil, err
	}
	e := &engine{kind: k, addr: net.JoinHostPort(ip, port), dir: dir}
	if k == inRedis {
		e.args = []string{
			"redis-server", "--bind", ip, "--port", port, "--dir", dir, "--protected-mode", "no",
			"--save", "", "--enable-debug-command", "yes", "--appendonly", "yes", "--maxmemory-policy", "noeviction", "--logfile", filepath.Join(dir, "log"),
		}
	} else if e.args, err = initPostgres(ip, port, dir); err != nil {
		return nil, err
	}
	if err := e.start(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// start starts the engine, also again, and returns when it answers.
func (e *engine) start(ctx context.Context) error {
	e.cmd = exec.Command(e.args[0], e.args[1:]...)
	e.cmd.Dir = "/"
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", e.kind, err)
	}
	goAlong(e.cmd.Process.Pid)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for e.ping(ctx) != nil {
		if err := sleep.For(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%s does not answer: %w", e.kind, err)
		}
	}
	return nil
}

func (e *engine) ping(ctx context.Context) error {
	if e.kind == inRedis {
		c := redis.NewClient(&redis.Options{Addr: e.addr, DialerRetries: 1, MaxRetries: -1})
		defer c.Close()
		return c.Ping(ctx).Err()
	}
	db, err := sql.Open("pgx", postgresURL(e.addr))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

// kill ends the engine without a goodbye: Redis by SIGKILL, PostgreSQL by its
// immediate shutdown, as a SIGKILL leaves processes that keep the next one from
// starting. It recovers in both cases.
func (e *engine) kill() {
	sig := syscall.SIGKILL
	if e.kind == inPostgres {
		sig = syscall.SIGQUIT
	}
	_ = e.cmd.Process.Signal(sig) // it may have ended
	_ = e.cmd.Wait()              // by a signal
}

// copyData copies what sessions the engine has, and returns how to put the copy back:
// for Redis by a snapshot that is loaded again, by its files, or by removing all, as if
// the copy were older than all sessions; for PostgreSQL as a dump.
func (e *engine) copyData(ctx context.Context, how int) (restore func(context.Context) error, err error) {
	switch {
	case e.kind == inPostgres:
		const table, dump = "evertoken_sessions", "evertoken_sessions_dump"
		return func(ctx context.Context) error {
			return e.exec(ctx, "BEGIN; DELETE FROM "+table+"; INSERT INTO "+table+" SELECT * FROM "+dump+"; COMMIT")
		}, e.exec(ctx, "DROP TABLE IF EXISTS "+dump+"; CREATE TABLE "+dump+" AS TABLE "+table)
	case how%3 == 2: // an old copy without any of the sessions
		c := redis.NewClient(&redis.Options{Addr: e.addr})
		return func(ctx context.Context) error {
			defer c.Close()
			return c.FlushAll(ctx).Err()
		}, nil
	case how%3 == 0:
		c := redis.NewClient(&redis.Options{Addr: e.addr})
		return func(ctx context.Context) error {
			defer c.Close()
			return c.Do(ctx, "DEBUG", "RELOAD", "NOSAVE").Err()
		}, c.Save(ctx).Err()
	}
	backup := e.dir + ".copy"
	return func(ctx context.Context) error {
		e.kill()
		return errors.Join(os.RemoveAll(e.dir), os.Rename(backup, e.dir), e.start(ctx))
	}, os.CopyFS(backup, os.DirFS(e.dir))
}

// exec has PostgreSQL carry out statements.
func (e *engine) exec(ctx context.Context, statements string) error {
	db, err := sql.Open("pgx", postgresURL(e.addr)+"&default_query_exec_mode=simple_protocol")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statements)
	return err
}

// initPostgres makes an empty database and returns how to start its server. As root
// that is done by the user postgres, because PostgreSQL refuses root.
func initPostgres(ip, port, dir string) ([]string, error) {
	var as []string
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid) // they are numbers
		gid, _ := strconv.Atoi(u.Gid)
		if err := errors.Join(os.Chown(dir, uid, gid), os.Chmod(filepath.Dir(dir), 0o711)); err != nil {
			return nil, err
		}
		as = []string{"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=QUIT"}
	}
	data := filepath.Join(dir, "data")
	argv := append(as[:len(as):len(as)], postgresProgram("initdb"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-D", data)
	initdb := exec.Command(argv[0], argv[1:]...)
	initdb.Dir = "/"
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	// Hosts are not 127.0.0.1, and no other machine can reach the address.
	hba, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = hba.WriteString("host all all all trust\n")
	if err := errors.Join(err, hba.Close()); err != nil {
		return nil, err
	}
	return append(as, postgresProgram("postgres"), "-D", data, "-p", port, "-c", "listen_addresses="+ip, "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_preload_libraries=pg_stat_statements",
		"-c", "logging_collector=on", "-c", "log_directory="+dir), nil
}

// postgresProgram finds a program that Debian does not put into PATH.
func postgresProgram(name string) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // fails for a bad pattern only
	if len(found) == 0 {
		return name
	}
	return found[len(found)-1]
}

func freePort(ip string) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
