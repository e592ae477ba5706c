package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
)

// A test checks one rule, which its failures quote.
type test struct {
	name string
	rule string
	fn   func(c *check)
}

// A check is a running test.
type check struct {
	*testing.T
	ctx    context.Context // ends when patience does
	rule   string
	store  tokenstore.Store
	reopen func(t *testing.T, s tokenstore.Store) tokenstore.Store
}

// Errorf reports a failure and quotes the rule.
func (c *check) Errorf(format string, args ...any) {
	c.Helper()
	c.T.Errorf(format+"\n\trule: %s", append(args, c.rule)...)
}

// Fatalf is Errorf and the end of the test.
func (c *check) Fatalf(format string, args ...any) {
	c.Helper()
	c.T.Fatalf(format+"\n\trule: %s", append(args, c.rule)...)
}

// set saves rec and returns its new version; it must work.
func (c *check) set(name string, rec *tokenstore.Record) uint64 {
	c.Helper()
	version, err := c.store.Set(c.ctx, name, rec)
	if err != nil {
		c.Fatalf("Set(%q) with version %d: %v", name, rec.Version, err)
	}
	return version
}

// get reads a record that must be there.
func (c *check) get(name string) *tokenstore.Record {
	c.Helper()
	rec, err := c.store.Get(c.ctx, name)
	if err != nil || rec == nil {
		c.Fatalf("Get(%q) after a successful Set: record %v, error %v", name, rec, err)
	}
	return rec
}

// wantErr requires err to wrap target.
func (c *check) wantErr(what string, err, target error) {
	c.Helper()
	if !errors.Is(err, target) {
		c.Errorf("%s: error %q; want one that wraps %q", what, errText(err), target)
	}
}

// wantAbsent requires that there is no record under name.
func (c *check) wantAbsent(name string) {
	c.Helper()
	rec, err := c.store.Get(c.ctx, name)
	c.wantErr("Get of a record that must not exist", err, tokenstore.ErrNotFound)
	if rec != nil {
		c.Errorf("Get of a record that must not exist returned %v", rec)
	}
}

// wantRecord requires that name holds want, with the given version.
func (c *check) wantRecord(name string, want *tokenstore.Record, version uint64) {
	c.Helper()
	want = want.Clone()
	want.Version = version
	if fields := diff(c.get(name), want); len(fields) > 0 {
		c.Errorf("record %q came back with other values in %v", name, fields)
	}
}

func errText(err error) string {
	if err == nil {
		return "<nil>"
	}
	return err.Error()
}
