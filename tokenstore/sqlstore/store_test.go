package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	db := sql.OpenDB(new(fakeDB))
	defer db.Close()
	listen := func(context.Context, string, func(string)) error { return nil }
	for want, cfg := range map[string]sqlstore.Config{
		"Dialect":   {Dialect: 2},
		"Listen":    {Dialect: sqlstore.SQLite, Listen: listen},
		"LeaseTime": {LeaseTime: time.Second - 1},
		"Table":     {Table: `a"b`},
	} {
		if _, err := sqlstore.New(db, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := sqlstore.New(nil, sqlstore.Config{}); err == nil {
		t.Error("no database is none")
	}
}

func TestTableIsAName(t *testing.T) {
	db := sql.OpenDB(new(fakeDB))
	defer db.Close()
	for table, valid := range map[string]bool{
		"sessions": true, "My_Sessions2": true, "_s": true, "app.sessions": true, strings.Repeat("s", 48): true,
		strings.Repeat("s", 49): false, "a." + strings.Repeat("s", 47): false, "a.b.c": false, ".s": false, "s.": false, "2s": false, "a b": false, "a-b": false,
		"a;b": false, "a'b": false, "ä": false, "a\n": false,
	} {
		if _, err := sqlstore.New(db, sqlstore.Config{Table: table}); (err == nil) != valid {
			t.Errorf("%q: %v", table, err)
		}
	}
}

func TestStorePrintsWhereItIs(t *testing.T) {
	s := new(fakeDB).store(t, sqlstore.Config{Dialect: sqlstore.SQLite})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got, want := fmt.Sprintf(verb, s), "sqlstore.Store{SQLite evertoken_sessions}"; got != want {
			t.Errorf("%s: %s; want %s", verb, got, want)
		}
	}
}

// An address is a database with a password.
type address struct {
	*fakeDB
	password string
}

// Each type of this package is here that a program can hold a secret in: the database has one.
func TestLaw8_StorePrintsNoPassword(t *testing.T) {
	b := new(taint.Book)
	b.Secret("password", "s3cret-of-the-database")
	db := sql.OpenDB(address{new(fakeDB), "s3cret-of-the-database"})
	defer db.Close()
	s, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b.Print("store", s)
	b.Check(t, 1, 1)
	b.CheckTypes(t, "../../api/tokenstore_sqlstore.txt", map[string]string{"sqlstore.Config": "names, limits and a function"})
}
