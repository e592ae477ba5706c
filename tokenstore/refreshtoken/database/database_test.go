package database_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/refreshtoken/database"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// That real databases do what they are asked is tested in the module drivertest of sqlstore.

var errDown = errors.New("connection refused")

// down is a database that cannot be reached.
type down struct{}

func (down) Connect(context.Context) (driver.Conn, error) { return nil, errDown }
func (down) Driver() driver.Driver                        { return nil }

func TestDatabaseThatIsDownIsNoVerdictOnAToken(t *testing.T) {
	db := sql.OpenDB(down{})
	t.Cleanup(func() { _ = db.Close() })
	s, err := database.New(db, database.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const token, user = "PLANTED-token", "PLANTED-user"
	_, getErr := s.Get(t.Context(), token)
	_, countErr := s.Count(t.Context())
	_, cleanupErr := s.Cleanup(t.Context())
	for doing, err := range map[string]error{
		"Set":    s.Set(t.Context(), token, user, time.Now().Add(time.Hour)),
		"Get":    getErr,
		"Delete": s.Delete(t.Context(), token),
		"Count":  countErr, "Cleanup": cleanupErr, "Migrate": s.Migrate(t.Context()),
	} {
		if !errors.Is(err, errDown) || errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("%s: error %v; want the cause, and not ErrNotFound", doing, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, s, s); strings.Contains(text, "PLANTED") {
			t.Errorf("%s: a secret is in %s", doing, text)
		}
	}
}

func TestSetRefusesWhatItCannotStore(t *testing.T) {
	db := sql.OpenDB(down{})
	t.Cleanup(func() { _ = db.Close() })
	s, err := database.New(db, database.Config{})
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	for what, err := range map[string]error{
		"an empty token":         s.Set(t.Context(), "", "alice", later),
		"a channel":              s.Set(t.Context(), "r", make(chan int), later),
		"an expiry in the past":  s.Set(t.Context(), "r", "alice", time.Now().Add(-time.Second)),
		"no expiry at all":       s.Set(t.Context(), "r", "alice", time.Time{}),
		"an expiry at this time": s.Set(t.Context(), "r", "alice", time.Now()),
	} {
		if err == nil || errors.Is(err, errDown) {
			t.Errorf("%s: %v; want an error before the database is asked", what, err)
		}
	}
	if _, err := s.Get(t.Context(), ""); err != tokenstore.ErrNotFound {
		t.Errorf("Get of no token: %v", err)
	}
}

func TestNewRefusesWhatItCannotUse(t *testing.T) {
	db := sql.OpenDB(down{})
	t.Cleanup(func() { _ = db.Close() })
	for name, cfg := range map[string]database.Config{
		"a table with a quote": {Table: `t"; DROP TABLE x`},
		"a long table":         {Table: strings.Repeat("t", 49)},
		"two dots":             {Table: "a.b.c"},
		"no such dialect":      {Dialect: sqlstore.Dialect(7)},
	} {
		if _, err := database.New(db, cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := database.New(nil, database.Config{}); err == nil {
		t.Error("no database: no error")
	}
}

// An address is a database with a password.
type address struct {
	down
	password string
}

// Each type of this package is here that a program can hold a secret in: the database has one.
func TestLaw8_StorePrintsNoPassword(t *testing.T) {
	b := new(taint.Book)
	b.Secret("password", "s3cret-of-the-database")
	db := sql.OpenDB(address{password: "s3cret-of-the-database"})
	t.Cleanup(func() { _ = db.Close() })
	s, err := database.New(db, database.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b.Print("store", s)
	b.Check(t, 1, 1)
	b.CheckTypes(t, "../../../api/tokenstore_refreshtoken_database.txt", map[string]string{"database.Config": "names"})
}
