// Package storetest tells whether a [tokenstore.Store] keeps its promises.
//
// Call [Run] from a test of your store:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) tokenstore.Store {
//			return mystore.New(t.TempDir())
//		}, storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store {
//			return mystore.New(s.(*mystore.Store).Dir())
//		}))
//	}
//
// Every failure quotes the rule that was broken. Run it with -race: several
// tests call the store from many goroutines.
//
// A store that is also a [tokenstore.Locker], [tokenstore.Lister], [tokenstore.Pager],
// [tokenstore.Stamper], [tokenstore.Watcher] or [tokenstore.Timekeeper] is tested as
// such; otherwise those tests are left out, with that reason. The suite asks for what the interfaces promise and
// nothing more. What it cannot see from outside, it does not test: whether a record
// survives a power cut, whether a lock ends with the process that holds it, and
// whether Watch returns when its connection dies.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// An Option changes what [Run] tests.
type Option func(*suite)

// Reopen also tests what processes that share a store see of each other. Given
// a store that newStore returned, reopen returns another store over the same
// data, which shares nothing with it in memory.
func Reopen(reopen func(t *testing.T, s tokenstore.Store) tokenstore.Store) Option {
	return func(s *suite) { s.reopen = reopen }
}

// Run tests the stores that newStore returns, in subtests of t. newStore is
// called for each subtest and returns an empty store of its own; it releases
// what the store holds with t.Cleanup.
//
// A test has 30 seconds, after which the context of its calls ends. A store that
// does not return within another 15 seconds makes the test binary panic.
func Run(t *testing.T, newStore func(t *testing.T) tokenstore.Store, opts ...Option) {
	t.Helper()
	s := &suite{newStore: newStore, patience: 30 * time.Second, grace: 15 * time.Second}
	for _, opt := range opts {
		opt(s)
	}
	probe := newStore(t)
	_, locks := probe.(tokenstore.Locker)
	_, lists := probe.(tokenstore.Lister)
	pages, stamps := offersPages(probe), offersStamps(probe)
	notices, times := offersNotices(probe), offersTimes(probe)
	for _, group := range []struct {
		name    string
		tests   []test
		applies bool
	}{
		{"Records", recordTests, true},
		{"Versions", versionTests, true},
		{"Names", nameTests, true},
		{"Context", contextTests, true},
		{"Locker", lockTests, locks},
		{"Lister", listTests, lists},
		{"Pager", pageTests, pages},
		{"Stamper", stampTests, stamps},
		{"Watcher", watchTests, notices},
		{"Timekeeper", timeTests, times},
		{"Reopen", reopenTests, s.reopen != nil},
	} {
		if !group.applies {
			t.Logf("%s: not tested, the store does not offer it", group.name)
			continue
		}
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { s.run(t, test) })
			}
		})
	}
}

type suite struct {
	newStore func(t *testing.T) tokenstore.Store
	reopen   func(t *testing.T, s tokenstore.Store) tokenstore.Store // may be nil
	patience time.Duration                                           // after which the context of a test ends
	grace    time.Duration                                           // after which a test that goes on is a panic
}

// A test checks one rule, which its failures quote.
type test struct {
	name string
	rule string
	fn   func(c *check)
}

func (s *suite) run(t *testing.T, test test) {
	ctx, cancel := context.WithTimeout(t.Context(), s.patience)
	defer cancel()
	// A store that does not return when its context ends cannot be stopped. The
	// panic shows where it hangs, long before the time limit of go test would.
	watchdog := time.AfterFunc(s.patience+s.grace, func() {
		panic(fmt.Sprintf("%s: the store did not return when its context ended\n\trule: %s", t.Name(), test.rule))
	})
	defer watchdog.Stop()
	test.fn(&check{T: t, ctx: ctx, rule: test.rule, store: s.newStore(t), reopen: s.reopen})
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
