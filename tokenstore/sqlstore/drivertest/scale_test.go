//go:build real && linux

package drivertest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// fill copies n sessions called user/00000000 and so on into the table, of which every
// hundredth expires at the given time for good.
func fill(t *testing.T, p place, n int, expires time.Time) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, p.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	const version = 1 << 50
	data, err := json.Marshal(tokenstore.Record{Version: version, Tokens: &oauth.TokenPair{
		AccessToken: strings.Repeat("a", 200), RefreshToken: strings.Repeat("r", 40), ExpiresAt: expires, RefreshExpiresAt: expires,
	}})
	if err != nil {
		t.Fatal(err)
	}
	rows := pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		var spentAt any
		if i%100 == 0 {
			spentAt = expires.UnixMilli()
		}
		return []any{fmt.Sprintf("user/%08d", i), int64(version), data, spentAt}, nil
	})
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{p.Table}, []string{"name", "version", "record", "spent_at"}, rows); err != nil {
		t.Fatal(err)
	}
	p.exec(t, `ANALYZE "%s"`)
}

// With 50,000 sessions no statement that is about one of them, or a page, reads all.
func TestStatementsUseAnIndex(t *testing.T) {
	p := startPostgres(t).newPlace(t)
	migrate(t, p)
	fill(t, p, 50_000, time.Now().Add(time.Hour))
	for what, statement := range map[string]string{
		"Get":     `SELECT version, record FROM "%s" WHERE name = 'user/00001234'`,
		"Stamp":   `SELECT version FROM "%s" WHERE name = 'user/00001234'`,
		"Pages":   `SELECT name, version, record FROM "%s" WHERE name > 'user/00001234' ORDER BY name LIMIT 1000`,
		"Set":     `UPDATE "%s" SET version = 2 WHERE name = 'user/00001234' AND version = 1`,
		"Delete":  `DELETE FROM "%s" WHERE name = 'user/00001234' AND version = 1`,
		"Cleanup": `SELECT name FROM "%s" WHERE spent_at <= 1 AND name > '' ORDER BY name LIMIT 500`,
	} {
		if plan := p.plan(t, statement); !strings.Contains(plan, "Index") || strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s: %s", what, plan)
		}
	}
}

// plan returns how PostgreSQL would carry out a statement.
func (p place) plan(t *testing.T, statement string) string {
	t.Helper()
	rows, err := p.db(t).Query("EXPLAIN " + fmt.Sprintf(statement, p.Table))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, line)
	}
	return strings.Join(plan, "\n")
}

func TestALargeTable(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	const n, size = many, 1_000
	p := startPostgres(t).newPlace(t)
	migrate(t, p)
	step := stopwatch(t)
	fill(t, p, n, time.Now().Add(-time.Hour))
	step("filled")
	s := p.store(t)
	if got, err := s.Count(t.Context()); got != n || err != nil {
		t.Errorf("Count: %d, %v", got, err)
	}
	step("counted")
	seen := 0
	for page, err := range s.Pages(t.Context(), size) {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			if e.Name != fmt.Sprintf("user/%08d", seen) || e.Record == nil {
				t.Fatalf("session %d is called %q, with %v", seen, e.Name, e.Record)
			}
			seen++
		}
	}
	if seen != n {
		t.Errorf("%d names in pages; want %d", seen, n)
	}
	step("paged through")
	for i := range 1000 {
		name := fmt.Sprintf("user/%08d", i*(n/1000-3))
		if _, err := s.Stamp(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	step("1,000 stamps")
	if got, err := s.Cleanup(t.Context()); got != n/100 || err != nil {
		t.Errorf("Cleanup: %d, %v; want %d", got, err, n/100)
	}
	step("cleaned up")
}

// stopwatch logs how long each step took.
func stopwatch(t *testing.T) func(step string) {
	last := time.Now()
	return func(step string) {
		t.Logf("%s in %v", step, time.Since(last).Round(time.Millisecond))
		last = time.Now()
	}
}
