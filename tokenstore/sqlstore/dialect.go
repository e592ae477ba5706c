package sqlstore

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/evertoken/evertoken/internal/notice"
	"github.com/evertoken/evertoken/tokenstore"
)

// A Dialect is what kind of database a Store talks to.
type Dialect int

const (
	// PostgreSQL is version 11 or newer, and what speaks its language.
	PostgreSQL Dialect = iota
	// SQLite is version 3.24 or newer, on a disk of this host.
	SQLite
)

// String returns the dialect's name.
func (d Dialect) String() string {
	if d == SQLite {
		return "SQLite"
	}
	return "PostgreSQL"
}

// maxTable leaves room for the longest suffix in PostgreSQL's 63 bytes, which are also
// the limit of a channel's name.
const maxTable = 48

var tableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*$`)

func validTable(name string) bool { return len(name) <= maxTable && tableName.MatchString(name) }

// quoted returns name, which is valid, with the given suffix as SQL.
func quoted(name, suffix string) string {
	return `"` + strings.ReplaceAll(name, ".", `"."`) + suffix + `"`
}

// The database's clock in Unix milliseconds, at the moment the row is looked at: a
// statement may have waited for another one's transaction.
const (
	postgresNow = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
	sqliteNow   = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
)

// What holds for the names that [tokenstore.CheckName] takes; what it leaves in, which is text that
// is not valid UTF-8, noName finds. Another program may have written what is not a name, and
// SQLite keeps them as they are. A blob is greater than each text, also than the text that a driver
// reads from it, and a driver may read no more of a text than what is before a NUL: either would
// be on each page, and no page the last.
const (
	postgresName = "octet_length(name) BETWEEN 1 AND 512"
	sqliteName   = "typeof(name) = 'text' AND length(CAST(name AS blob)) BETWEEN 1 AND 512 AND instr(CAST(name AS blob), x'00') = 0"
)

// A record that is too long to be read counts as none: NULL. A driver would bring all of it here.
const (
	postgresRecord = "CASE WHEN octet_length(record) <= %d THEN record END"
	sqliteRecord   = "CASE WHEN length(CAST(record AS blob)) <= %d THEN record END"
)

// statements holds the SQL of a Store, in its dialect and with its tables.
type statements struct {
	get, stamp, time                      string
	insert, update, mend, discard, remove string
	announce                              string // update, for a spend that begins
	names, records, page, count           string
	spent, forget                         string
	acquire, renew, release               string
	beginSpend, settle                    string // PostgreSQL only
	begin, exclude, makeSchema            string
	schemaVersion, setVersion, addSchema  string
	migrations                            [][]string
	channel                               string
}

// newStatements writes the SQL for cfg, which is valid. Parameters are numbered, so
// that both dialects can have them: name, then version, then what is particular.
func newStatements(cfg Config) statements {
	sql := dialect(cfg)
	written := func(s string) string { return sql(notifying(cfg, notice.Changed, s)) }
	const update = `UPDATE {sessions} SET version = $2, record = $3, spent_at = $4 WHERE name = $1 AND version = $5`
	st := statements{
		get:   sql(`SELECT CAST(version AS text), {record} FROM {sessions} WHERE name = $1`),
		stamp: sql(`SELECT CAST(version AS text) FROM {sessions} WHERE name = $1`),
		time:  sql(`SELECT {now}`),

		insert:  written(`INSERT INTO {sessions} (name, version, record, spent_at) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING`),
		update:  written(update),
		mend:    written(`UPDATE {sessions} SET version = $2, damaged = record, record = $3, spent_at = $4 WHERE name = $1 AND CAST(version AS text) {is} $5`),
		discard: written(`DELETE FROM {sessions} WHERE name = $1 AND CAST(version AS text) {is} $2`),
		remove:  written(`DELETE FROM {sessions} WHERE name = $1 AND version = $2`),

		announce: sql(notifying(cfg, notice.Begun, update)),

		names:   sql(`SELECT name FROM {sessions} WHERE {aName} AND {aSession} ORDER BY name`),
		records: sql(`SELECT name FROM {sessions} WHERE {aName} ORDER BY name`),
		page:    sql(`SELECT name, CAST(version AS text), {record} FROM {sessions} WHERE name > $1 AND {aName} AND {aSession} ORDER BY name LIMIT $2`),
		count:   sql(`SELECT count(*) FROM {sessions} WHERE {aName} AND {aSession}`),
		spent:   sql(`SELECT name FROM {sessions} WHERE spent_at <= $1 AND name > $2 AND {aName} ORDER BY name LIMIT $3`),
		forget:  sql(`DELETE FROM {leases} AS l WHERE {free}`),

		acquire: sql(`INSERT INTO {leases} AS l (name, owner, until) VALUES ($1, $2, {now} + $3)
			ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE {free}`),
		renew:   sql(`UPDATE {leases} SET until = {now} + $3 WHERE name = $1 AND owner = $2`),
		release: sql(`DELETE FROM {leases} WHERE name = $1 AND owner = $2`),

		// What it finds, it finds as it was before: one row says whether the version was the
		// given one, whether the lock was had, and whether the record was saved.
		beginSpend: sql(`WITH found AS (SELECT name FROM {sessions} WHERE name = $1 AND version = $5),
			locked AS (INSERT INTO {leases} AS l (name, owner, until) SELECT name, $6::text, {now} + $7::bigint FROM found
				ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE {free} RETURNING name),
			written AS (` + update + ` AND EXISTS (SELECT FROM locked) RETURNING name, version)
			SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM locked), (SELECT ` + counted(cfg, notice.Begun) + ` FROM written)`),
		settle: sql(`WITH written AS (` + update + ` RETURNING name, version),
			unlocked AS (DELETE FROM {leases} WHERE name = $1 AND owner = $6::text AND EXISTS (SELECT FROM written))
			SELECT ` + counted(cfg, notice.Changed) + ` FROM written`),

		// What a migration reads after it has waited for another one is what that one has made,
		// whatever isolation level is the database's default.
		begin:         "BEGIN ISOLATION LEVEL READ COMMITTED",
		exclude:       "SELECT pg_advisory_xact_lock($1)",
		makeSchema:    sql(`CREATE TABLE IF NOT EXISTS {schema} (version integer NOT NULL)`),
		schemaVersion: sql(`SELECT max(version) FROM {schema}`),
		addSchema:     sql(`INSERT INTO {schema} (version) VALUES (0)`),
		setVersion:    sql(`UPDATE {schema} SET version = $1`),

		channel: cfg.Table,
	}
	if cfg.Dialect == SQLite {
		st.begin, st.exclude = "BEGIN IMMEDIATE", ""
	}
	for _, step := range migrations {
		var done []string
		for _, s := range step {
			done = append(done, sql(s))
		}
		st.migrations = append(st.migrations, done)
	}
	return st
}

// dialect returns what fills in the names of cfg and its dialect's words.
func dialect(cfg Config) func(string) string {
	words := []string{
		"{sessions}", quoted(cfg.Table, ""),
		"{leases}", quoted(cfg.Table, "_leases"),
		"{schema}", quoted(cfg.Table, "_schema"),
		"{aSession}", "substr(name, 1, 17) <> 'evertoken:server:'", // tokenstore.IsServerRecord
		"{spent}", quoted(cfg.Table[strings.IndexByte(cfg.Table, '.')+1:], "_spent_at"),
	}
	if cfg.Dialect == SQLite {
		words = append(words, "{is}", "IS", "{now}", sqliteNow, "{free}", free(sqliteNow, cfg), "{aName}", sqliteName, "{record}", fmt.Sprintf(sqliteRecord, tokenstore.MaxRecord), "{name}", "text", "{bytes}", "blob", "$", "?")
	} else {
		// Names sort by their bytes, as in Go, whatever the database's language.
		words = append(words, "{is}", "IS NOT DISTINCT FROM", "{now}", postgresNow, "{free}", free(postgresNow, cfg), "{aName}", postgresName, "{record}", fmt.Sprintf(postgresRecord, tokenstore.MaxRecord), "{name}", `text COLLATE "C"`, "{bytes}", "bytea")
	}
	return strings.NewReplacer(words...).Replace
}

// farLeases is how many lease times ahead the end of a lease may be. A lease ends one ahead, but
// processes may differ in Config.LeaseTime, and the one that asks knows only its own: ten leave
// room for that.
const farLeases = 10

// free holds for the row l of a lease that has ended, and of one whose end is further ahead than
// farLeases allows, of our lease time or the default, whichever is longer. Such an end was written by
// another program, or by a killed holder while the database's clock was ahead, and would keep
// the lock for hours or for ever. In SQLite it may be no number; texts and blobs are greater than
// all numbers.
func free(now string, cfg Config) string {
	far := farLeases * max(cfg.LeaseTime, DefaultLeaseTime)
	return fmt.Sprintf("(l.until <= %[1]s OR l.until > %[1]s + %[2]d)", now, far.Milliseconds())
}

// notifying has a writing statement tell the processes that listen, in its own transaction
// and with the same number of affected rows. The notice begins with kind.
func notifying(cfg Config, kind, statement string) string {
	if cfg.Listen == nil {
		return statement
	}
	return "WITH written AS (" + statement + " RETURNING name, version) SELECT " + notify(cfg, kind, "version") + " FROM written"
}

// counted counts the rows of written, and notifies of each.
func counted(cfg Config, kind string) string {
	if cfg.Listen == nil {
		return "count(*)"
	}
	return "count(" + notify(cfg, kind, "version") + "::text)"
}

// notify notifies of a row of written, whose version is now the given one.
func notify(cfg Config, kind, version string) string {
	return "pg_notify('" + cfg.Table + "', '" + kind + "' || " + version + " || ':' || name)"
}
