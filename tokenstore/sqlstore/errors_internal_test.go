package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
)

type pgError string

func (e pgError) Error() string    { return "ERROR: (SQLSTATE " + string(e) + ")" }
func (e pgError) SQLState() string { return string(e) }

type sqliteError int

func (e sqliteError) Error() string { return fmt.Sprintf("SQLite error %d", int(e)) }
func (e sqliteError) Code() int     { return int(e) }

func TestJudge(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx         context.Context
		err         error
		unavailable bool
		is          error
	}{
		"network":              {t.Context(), &net.OpError{Op: "read", Err: net.ErrClosed}, true, net.ErrClosed},
		"caller left":          {ended, pgError("57014"), true, context.Canceled},
		"connection failure":   {t.Context(), pgError("08006"), true, pgError("08006")},
		"shutting down":        {t.Context(), pgError("57P01"), true, nil},
		"starting up":          {t.Context(), pgError("57P03"), true, nil},
		"too many connections": {t.Context(), pgError("53300"), true, nil},
		"standby":              {t.Context(), pgError("25006"), true, nil},
		"serialization":        {t.Context(), pgError("40001"), false, pgError("40001")},
		"deadlock":             {t.Context(), pgError("40P01"), false, pgError("40P01")},
		"completion unknown":   {t.Context(), pgError("40003"), true, nil},
		"no permission":        {t.Context(), pgError("42501"), false, pgError("42501")},
		"no table":             {t.Context(), pgError("42P01"), false, pgError("42P01")},
		"wrong password":       {t.Context(), pgError("28P01"), false, nil},
		"wrapped":              {t.Context(), fmt.Errorf("exec: %w", pgError("22021")), false, nil},
		"no state":             {t.Context(), pgError(""), true, nil},
		"busy":                 {t.Context(), sqliteError(5), true, sqliteError(5)},
		"busy, in detail":      {t.Context(), sqliteError(5 | 2<<8), true, nil},
		"disk full":            {t.Context(), sqliteError(13), true, nil},
		"no table in SQLite":   {t.Context(), sqliteError(1), false, sqliteError(1)},
		"not a database":       {t.Context(), sqliteError(26), false, nil},
	} {
		err := judge(tt.ctx, tt.err)
		if errors.Is(err, tokenstore.ErrUnavailable) != tt.unavailable || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if judge(ended, nil) != nil {
		t.Error("no error is one")
	}
}

func TestErrorsNameThePackageOnce(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for want, err := range map[string]error{
		`sqlstore: read session "a": no such session`:  failed(about("read", "a"), tokenstore.ErrNotFound),
		`sqlstore: save session "a": context canceled`: check(ended, "save", "a"),
	} {
		if got := err.Error(); got != want {
			t.Errorf("text %q; want %q", got, want)
		}
	}
}
