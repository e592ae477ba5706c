package drivertest

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// The programs of one host share a session in a file of SQLite.
func Example_sqlite() {
	server := oauthtest.New(oauthtest.Config{}) // stands for your provider
	tokens, err := server.Login("alice")
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sessions.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqlstore.New(db, sqlstore.Config{Dialect: sqlstore.SQLite})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	manager := refresh.NewManager(refresh.Config{OAuthClient: oauth.NewClient(server.OAuthConfig()), Store: store})
	if err := manager.Start(ctx, tokens); err != nil {
		log.Fatal(err)
	}
	defer manager.Stop()
	if err := manager.ForceRefresh(ctx); err != nil {
		log.Fatal(err)
	}

	names, err := store.Names(ctx)
	fmt.Println(names, err)
	// Output: [default] <nil>
}
