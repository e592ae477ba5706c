package storetest_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/notice"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

// A shared store is a Memory that also pages and tells, as stores do that hosts
// share. Some of that can be replaced.
type shared struct {
	tokenstore.Memory
	page   func(names []string, after string, limit int) []string
	entry  func(e *tokenstore.Entry)
	notice func(c tokenstore.Change) []tokenstore.Change // what is told of a change
	first  []tokenstore.Change                           // what is told first, if not nil
	watch  func(ctx context.Context, told <-chan tokenstore.Change, changed func(tokenstore.Change)) error

	mu   sync.Mutex
	ears []chan tokenstore.Change
}

func (s *shared) Pages(ctx context.Context, size int) iter.Seq2[[]tokenstore.Entry, error] {
	return func(yield func([]tokenstore.Entry, error) bool) {
		next := page
		if s.page != nil {
			next = s.page
		}
		for after := ""; ; {
			names, err := s.Names(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			names = next(names, after, max(size, 1))
			if len(names) == 0 || !yield(s.entries(names), nil) {
				return
			}
			after = names[len(names)-1]
		}
	}
}

func (s *shared) entries(names []string) (entries []tokenstore.Entry) {
	for _, name := range names {
		e := tokenstore.Entry{Name: name}
		if rec, err := s.Get(context.Background(), name); err == nil {
			e.Record, e.Stamp = rec, rec.Version
		}
		if s.entry != nil {
			s.entry(&e)
		}
		entries = append(entries, e)
	}
	return entries
}

// page returns the first limit names that come after one, of all, which are sorted.
func page(names []string, after string, limit int) []string {
	i, found := slices.BinarySearch(names, after)
	if found {
		i++
	}
	return names[i:min(i+limit, len(names))]
}

func (s *shared) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	version, err := s.Memory.Set(ctx, name, rec)
	if err == nil {
		s.tell(tokenstore.Change{Name: name, Begun: notice.Of(rec) == notice.Begun})
	}
	return version, err
}

func (s *shared) Delete(ctx context.Context, name string, version uint64) error {
	err := s.Memory.Delete(ctx, name, version)
	if err == nil {
		s.tell(tokenstore.Change{Name: name})
	}
	return err
}

func (s *shared) tell(c tokenstore.Change) {
	told := []tokenstore.Change{c}
	if s.notice != nil {
		told = s.notice(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ear := range s.ears {
		for _, c := range told {
			select {
			case ear <- c:
			default: // it has ended
			}
		}
	}
}

func (s *shared) Watch(ctx context.Context, changed func(tokenstore.Change)) error {
	ear := make(chan tokenstore.Change, 10_000)
	s.mu.Lock()
	s.ears = append(s.ears, ear)
	s.mu.Unlock()
	first := []tokenstore.Change{{}}
	if s.first != nil {
		first = s.first
	}
	for _, c := range first {
		changed(c)
	}
	if s.watch != nil {
		return s.watch(ctx, ear, changed)
	}
	return follow(ctx, ear, changed)
}

// follow tells until ctx ends.
func follow(ctx context.Context, told <-chan tokenstore.Change, changed func(tokenstore.Change)) error {
	for {
		select {
		case c := <-told:
			changed(c)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestASharedStorePasses(t *testing.T) {
	storetest.Run(t, func(*testing.T) tokenstore.Store { return new(shared) }, storetest.Reopen(sharing))
}

// pages returns a store that makes a mistake on its pages.
func pages(page func(names []string, after string, limit int) []string, fails ...string) broken {
	return broken{store: func() tokenstore.Store { return &shared{page: page} }, reopen: sharing, fails: fails}
}

// entries returns a store that makes a mistake in what it says of a session on a page.
func entries(entry func(e *tokenstore.Entry), fails ...string) broken {
	return broken{store: func() tokenstore.Store { return &shared{entry: entry} }, reopen: sharing, fails: fails}
}

// tells returns a store that makes a mistake in its notices.
func tells(f func() *shared, fails ...string) broken {
	return blocking(broken{store: func() tokenstore.Store { return f() }, reopen: sharing, fails: fails})
}

func noticing(told func(c tokenstore.Change) []tokenstore.Change) func() *shared {
	return func() *shared { return &shared{notice: told} }
}

var brokenShared = map[string]broken{
	"pages_in_another_order": pages(func(names []string, after string, limit int) []string {
		fold := func(a, b string) int { return strings.Compare(strings.ToLower(a)+a, strings.ToLower(b)+b) }
		slices.SortFunc(names, fold)
		i, found := slices.BinarySearchFunc(names, after, fold)
		if found {
			i++
		}
		return names[i:min(i+limit, len(names))]
	}, "Pager/PagesAreInOrderAndComplete"),
	"repeats_the_last_name": pages(func(names []string, after string, limit int) []string {
		i, _ := slices.BinarySearch(names, after)
		return names[i:min(i+limit, len(names))]
	}, "Pager"),
	"ends_before_the_end": pages(func(names []string, after string, limit int) []string {
		return page(names[:max(len(names)-1, 0)], after, limit)
	}, "Pager/PagesAreInOrderAndComplete"),
	"ignores_sizes": pages(func(names []string, after string, _ int) []string {
		return page(names, after, len(names))
	}, "Pager"),
	"pages_records_about_servers": pages(func(names []string, after string, limit int) []string {
		for _, server := range []string{"https://a.example", "https://b.example", "https://c.example"} {
			if slices.Contains(names, "evertoken:") {
				names = append(names, tokenstore.ServerRecord(server))
			}
		}
		slices.Sort(names)
		return page(names, after, limit)
	}, "Pager/WordsAboutServersAreOnNoPage"),
	"pages_by_position": {store: func() tokenstore.Store { return newByPosition() }, reopen: sharing, fails: []string{
		"Pager/PagesWhileSessionsComeAndGo",
	}},
	"pages_without_records":   entries(func(e *tokenstore.Entry) { e.Record = nil }, "Pager/PagesHaveTheRecords"),
	"pages_with_old_records":  entries(func(e *tokenstore.Entry) { e.Record.Version-- }, "Pager/PagesHaveTheRecords"),
	"pages_with_less":         entries(func(e *tokenstore.Entry) { e.Record.Ancestors = nil }, "Pager/PagesHaveTheRecords"),
	"pages_with_other_stamps": entries(func(e *tokenstore.Entry) { e.Stamp++ }, "Pager/PagesHaveTheRecords"),

	"spends_past_a_wrapper":        spends(mistake{past: true}, "Spender/SpendThroughAnotherStore"),
	"spends_without_the_lock":      spends(mistake{unlocked: true}, "Spender/SpendIsALockAndTwoSaves", "Spender/SpendWaitsForTheLock", "Spender/SettleOfAnotherVersion"),
	"keeps_the_lock_when_settled":  spends(mistake{keeps: true}, "Spender/SpendIsALockAndTwoSaves"),
	"loses_the_lock_of_a_conflict": spends(mistake{leaks: true}, "Spender/SpendOfAnotherVersion"),
	"spends_any_version":           spends(mistake{any: true}, "Spender/SpendOfAnotherVersion"),
	"waits_although_all_is_done":   spends(mistake{late: true}, "Spender/SpendOfAnotherVersion"),
	"announces_nothing":            spends(mistake{silent: true}, "Spender/SpendIsALockAndTwoSaves", "Spender/SpendWithoutSettle"),
	"settles_over_others":          spends(mistake{over: true}, "Spender/SettleOfAnotherVersion"),

	"begins_with_no_call": tells(func() *shared { return &shared{first: []tokenstore.Change{}} }, "Watcher/TheFirstCallIsAboutAnySession"),
	"begins_with_a_name": tells(func() *shared {
		return &shared{first: []tokenstore.Change{{Name: "default"}}}
	}, "Watcher/TheFirstCallIsAboutAnySession"),
	"tells_nothing": tells(noticing(func(tokenstore.Change) []tokenstore.Change { return nil }),
		"Watcher/WritesAreTold", "Watcher/WritesOfOtherProcessesAreTold"),
	"tells_other_names": tells(noticing(func(c tokenstore.Change) []tokenstore.Change {
		c.Name = strings.ToLower(c.Name)
		return []tokenstore.Change{c}
	}), "Watcher/WritesAreTold"),
	"says_that_every_write_has_begun": tells(noticing(func(c tokenstore.Change) []tokenstore.Change {
		c.Begun = true
		return []tokenstore.Change{c}
	}), "Watcher/OnlyAnnouncementsHaveBegun"),
	"does_not_tell_of_deletions": {store: func() tokenstore.Store { return new(quietDelete) }, reopen: sharing, blocks: true, fails: []string{
		"Watcher/WritesAreTold", "Watcher/WritesOfOtherProcessesAreTold",
	}},
	"does_not_tell_of_replacements": {store: func() tokenstore.Store { return new(quietReplace) }, reopen: sharing, blocks: true, fails: []string{
		"Watcher/WritesAreTold",
	}},
	"watches_without_regard_to_its_context": tells(func() *shared {
		return &shared{watch: func(ctx context.Context, told <-chan tokenstore.Change, changed func(tokenstore.Change)) error {
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 200*time.Millisecond)
			defer cancel()
			_ = follow(late, told, changed)
			return nil
		}}
	}, "Watcher/WatchEndsWithItsContext"),
	"goes_on_to_tell_after_Watch_has_returned": tells(func() *shared {
		return &shared{watch: func(ctx context.Context, told <-chan tokenstore.Change, changed func(tokenstore.Change)) error {
			go func() {
				for c := range told {
					changed(c)
				}
			}()
			<-ctx.Done()
			return ctx.Err()
		}}
	}, "Watcher/WatchEndsWithItsContext"),
	"tells_many_at_once": tells(func() *shared {
		return &shared{watch: func(ctx context.Context, told <-chan tokenstore.Change, changed func(tokenstore.Change)) error {
			var all sync.WaitGroup
			defer all.Wait()
			return follow(ctx, told, func(c tokenstore.Change) { all.Go(func() { changed(c) }) })
		}}
	}, "Watcher/CallsComeOneAfterTheOther"),
	"tells_of_its_own_writes_only": {
		store: func() tokenstore.Store { return new(shared) },
		reopen: func(_ *testing.T, s tokenstore.Store) tokenstore.Store {
			return &behindTheBack{Store: s, own: new(shared)}
		},
		blocks: true,
		fails:  []string{"Watcher/WritesOfOtherProcessesAreTold"},
	},
}

// quietDelete does not tell of deletions, and quietReplace of what is not a new record.
type (
	quietDelete  struct{ shared }
	quietReplace struct{ shared }
)

func (s *quietDelete) Delete(ctx context.Context, name string, version uint64) error {
	return s.Memory.Delete(ctx, name, version)
}

func (s *quietReplace) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	if rec.Version != 0 {
		return s.Memory.Set(ctx, name, rec)
	}
	return s.shared.Set(ctx, name, rec)
}

// behindTheBack writes to a shared store without a word to those who watch that.
type behindTheBack struct {
	tokenstore.Store
	own *shared
}

func (s *behindTheBack) Watch(ctx context.Context, changed func(tokenstore.Change)) error {
	return s.own.Watch(ctx, changed)
}

func (s *behindTheBack) Set(ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
	version, err := s.Store.(*shared).Memory.Set(ctx, name, rec)
	if err == nil {
		s.own.tell(tokenstore.Change{Name: name})
	}
	return version, err
}

// newByPosition returns a store that takes the given name for a position, which
// others move.
func newByPosition() *shared {
	s := new(shared)
	position := make(map[string]int) // behind each last name of a page
	var mu sync.Mutex
	s.page = func(names []string, after string, limit int) []string {
		mu.Lock()
		defer mu.Unlock()
		if after == "" {
			clear(position)
		}
		from := min(position[after], len(names))
		found := names[from:min(from+limit, len(names))]
		if len(found) > 0 {
			position[found[len(found)-1]] = from + len(found)
		}
		return found
	}
	return s
}

// A spender is a Memory that takes spends, and makes one mistake.
type spender struct {
	tokenstore.Memory
	mistake
}

type mistake struct{ past, unlocked, keeps, leaks, any, late, silent, over bool }

func spends(m mistake, fails ...string) broken {
	return blocking(broken{store: func() tokenstore.Store { return &spender{mistake: m} }, reopen: sharing, fails: fails})
}

func (s *spender) BeginSpend(ctx context.Context, via tokenstore.Store, name string, rec *tokenstore.Record, _ bool) (tokenstore.Spending, uint64, error) {
	if via != tokenstore.Store(s) && !s.past {
		return nil, 0, errors.ErrUnsupported
	}
	changed := func() bool {
		stored, err := s.Get(ctx, name)
		return !s.any && (err != nil || stored.Version != rec.Version)
	}
	lease, err := tokenstore.Lease(nil), error(nil)
	for lease == nil && !s.unlocked {
		if changed() && !s.late && !s.leaks {
			return nil, 0, tokenstore.ErrConflict
		}
		wait, cancel := context.WithTimeout(ctx, time.Millisecond)
		lease, err = s.Lock(wait, name)
		cancel()
		if err != nil && ctx.Err() != nil {
			return nil, 0, err
		}
	}
	next := rec.Clone()
	if s.any {
		if stored, err := s.Get(ctx, name); err == nil {
			next.Version = stored.Version
		}
	}
	version := next.Version
	if !s.silent {
		version, err = s.Set(ctx, name, next)
	}
	if err != nil {
		if !s.leaks && lease != nil {
			_ = lease.Unlock()
		}
		return nil, 0, err
	}
	return &spenderLease{lease, s, name}, version, nil
}

type spenderLease struct {
	tokenstore.Lease
	store *spender
	name  string
}

func (l *spenderLease) Err() error {
	if l.Lease == nil {
		return nil
	}
	return l.Lease.Err()
}

func (l *spenderLease) Unlock() error {
	if l.Lease == nil {
		return nil
	}
	return l.Lease.Unlock()
}

func (l *spenderLease) Settle(ctx context.Context, rec *tokenstore.Record) (uint64, error) {
	next := rec.Clone()
	if l.store.over {
		if stored, err := l.store.Get(ctx, l.name); err == nil {
			next.Version = stored.Version
		}
	}
	version, err := l.store.Set(ctx, l.name, next)
	if err == nil && !l.store.keeps {
		_ = l.Unlock()
	}
	return version, err
}
