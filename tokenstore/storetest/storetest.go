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
// A store that is also a [tokenstore.Locker], [tokenstore.Spender], [tokenstore.Lister],
// [tokenstore.RecordLister], [tokenstore.Pager], [tokenstore.Stamper], [tokenstore.Watcher] or [tokenstore.Timekeeper] is tested as
// such; otherwise those tests are left out, with that reason. The suite asks for what the interfaces promise and
// nothing more. What it cannot see from outside, it does not test: whether a record
// survives a power cut, whether a lock ends with the process that holds it, and
// whether Watch returns when its connection dies.
package storetest

import (
	"context"
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
// A test has two minutes, after which the context of its calls ends. A store that
// does not return within another 15 seconds makes the test binary panic.
func Run(t *testing.T, newStore func(t *testing.T) tokenstore.Store, opts ...Option) {
	t.Helper()
	s := &suite{newStore: newStore, patience: 2 * time.Minute, grace: 15 * time.Second}
	for _, opt := range opts {
		opt(s)
	}
	probe := newStore(t)
	_, locks := probe.(tokenstore.Locker)
	_, lists := probe.(tokenstore.Lister)
	records := offersRecords(probe)
	pages, stamps := offersPages(probe), offersStamps(probe)
	notices, times, spends := offersNotices(probe), offersTimes(probe), offersSpends(probe)
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
		{"Spender", spendTests, spends},
		{"Lister", listTests, lists},
		{"RecordLister", recordListTests, records},
		{"Pager", pageTests, pages},
		{"Stamper", stampTests, stamps},
		{"Watcher", watchTests, notices},
		{"WatchedSpends", toldSpendTests, notices && spends},
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
