package main

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A load is what an engine has done since it began, by its own account.
type load struct {
	calls map[string]float64 // by command; those of a script count beside the script
	cpu   time.Duration      // of its processes, by the kernel's account
	bytes float64            // that sessions take up in it
}

// minus returns what was done since before.
func (l load) minus(before load) load {
	calls := make(map[string]float64)
	for command, n := range l.calls {
		if n -= before.calls[command]; n > 0 {
			calls[command] = n
		}
	}
	return load{calls: calls, cpu: l.cpu - before.cpu, bytes: l.bytes - before.bytes}
}

// per returns the commands of each of n things, those of at least a hundredth.
func (l load) per(n float64) string {
	var parts []string
	for _, command := range slices.Sorted(maps.Keys(l.calls)) {
		if each := l.calls[command] / n; each >= 0.01 {
			parts = append(parts, fmt.Sprintf("%.2f %s", each, command))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// load asks the engine.
func (e *engine) load(ctx context.Context) (load, error) {
	l := load{calls: make(map[string]float64), cpu: e.cpu()}
	if e.kind == inRedis {
		return l, e.redisLoad(ctx, &l)
	}
	return l, e.postgresLoad(ctx, &l)
}

func (e *engine) redisLoad(ctx context.Context, l *load) error {
	c := redis.NewClient(&redis.Options{Addr: e.addr})
	defer c.Close()
	stats, err := c.InfoMap(ctx, "commandstats", "memory").Result()
	if err != nil {
		return err
	}
	for name, text := range stats["Commandstats"] {
		_, calls, _ := strings.Cut(text, "calls=")
		calls, _, _ = strings.Cut(calls, ",")
		switch command := strings.ToUpper(strings.TrimPrefix(name, "cmdstat_")); command {
		case "INFO", "PING", "HELLO", "CLIENT|SETINFO", "CLIENT|MAINT_NOTIFICATIONS":
		default:
			l.calls[command], err = strconv.ParseFloat(calls, 64)
		}
	}
	if err != nil {
		return err
	}
	l.bytes, err = strconv.ParseFloat(stats["Memory"]["used_memory_dataset"], 64)
	return err
}

func (e *engine) postgresLoad(ctx context.Context, l *load) error {
	db, err := sql.Open("pgx", postgresURL(e.addr))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"); err != nil {
		return err
	}
	if err := db.QueryRowContext(ctx, "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname = 'evertoken_sessions'").Scan(&l.bytes); err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, "SELECT query, calls FROM pg_stat_statements")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var query string
		var calls float64
		if err := rows.Scan(&query, &calls); err != nil {
			return err
		}
		if what := statementKind(query); what != "" {
			l.calls[what] += calls
		}
	}
	return rows.Err()
}

// statementKind names a statement of the store, and none of this command's.
func statementKind(query string) string {
	switch {
	case !strings.Contains(query, "evertoken_sessions"), strings.Contains(query, "pg_class"):
		return ""
	case strings.Contains(query, "evertoken_sessions_leases"):
		return strings.Fields(query)[0] + " lease"
	case strings.HasPrefix(query, "WITH"): // a write that notifies
		_, query, _ = strings.Cut(query, "(")
	}
	if strings.HasPrefix(query, "SELECT version FROM") {
		return "SELECT version"
	}
	return strings.Fields(query)[0]
}

// cpu is what the engine's processes have used, by the kernel's account.
func (e *engine) cpu() time.Duration {
	pid := strconv.Itoa(e.cmd.Process.Pid)
	children, _ := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	ticks := 0
	for p := range strings.FieldsSeq(pid + " " + string(children)) {
		stat, _ := os.ReadFile(filepath.Join("/proc", p, "stat")) // it may have ended
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 14 {
			for _, f := range fields[11:15] { // its own and its dead children's, in user and system mode
				n, _ := strconv.Atoi(f) // the kernel wrote it
				ticks += n
			}
		}
	}
	const tick = time.Second / 100 // USER_HZ, which is 100 on every Linux
	return time.Duration(ticks) * tick
}
