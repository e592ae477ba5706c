package sqlstore_test

import (
	"context"
	"database/sql"
	"log"
	"os"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// A service with several replicas keeps its users' sessions in PostgreSQL, sealed with
// a key that the database never sees.
func Example() {
	ctx := context.Background()
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // import _ "github.com/jackc/pgx/v5/stdlib"
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	key, err := tokenstore.ParseKey(os.Getenv("SESSION_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	client, err := oauth.Discover(ctx, "https://login.example.com", oauth.Config{ClientID: "my-service"})
	if err != nil {
		log.Fatal(err)
	}
	pool := refresh.NewPool(refresh.PoolConfig{Config: refresh.Config{
		OAuthClient: client,
		Store:       tokenstore.NewSealed(store, tokenstore.Keys(key)),
	}})
	if err := pool.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer pool.Stop()
}
