package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/redisstore"
	"github.com/evertoken/evertoken/tokenstore/sqlstore"
)

// A kind is one of the engines that hosts share sessions in.
type kind string

const (
	inRedis    kind = "Redis"
	inPostgres kind = "PostgreSQL"
)

// A store is what both engines' stores can do.
type store interface {
	tokenstore.Store
	tokenstore.Locker
	tokenstore.Lister
	tokenstore.Stamper
	tokenstore.Watcher
	tokenstore.Timekeeper
}

// connections bounds those of one process to PostgreSQL, which has 200 for all.
const connections = 6

// openStore opens the store in the engine at addr. It connects later.
func openStore(k kind, addr string, lease time.Duration) (s store, closeStore func() error, err error) {
	if k == inRedis {
		logging.Disable() // of connections that break, which they do here all the time
		client := redis.NewClient(&redis.Options{
			Addr: addr, ContextTimeoutEnabled: true, DialerRetries: 1, DialTimeout: time.Second, ReadTimeout: time.Second, MaxRetries: 2,
		})
		s, err = redisstore.New(client, redisstore.Config{LeaseTime: lease})
		return s, client.Close, err
	}
	db, err := sql.Open("pgx", postgresURL(addr))
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	s, err = sqlstore.New(db, sqlstore.Config{LeaseTime: lease, Listen: listener(addr)})
	return s, db.Close, err
}

func postgresURL(addr string) string {
	return fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable&connect_timeout=2", addr)
}

// listener is the function in the documentation of sqlstore.Config.
func listener(addr string) func(ctx context.Context, channel string, notify func(payload string)) error {
	return func(ctx context.Context, channel string, notify func(payload string)) error {
		conn, err := pgx.Connect(ctx, postgresURL(addr))
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return err
		}
		for notify(""); ; {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return err
			}
			notify(n.Payload)
		}
	}
}
