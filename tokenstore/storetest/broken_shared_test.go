package storetest_test

import (
	"context"
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
	notice func(c tokenstore.Change) []tokenstore.Change // what is told of a change
	first  []tokenstore.Change                           // what is told first, if not nil
	watch  func(ctx context.Context, told <-chan tokenstore.Change, changed func(tokenstore.Change)) error

	mu   sync.Mutex
	ears []chan tokenstore.Change
}

func (s *shared) NamesAfter(ctx context.Context, after string, limit int) ([]string, error) {
	names, err := s.Names(ctx)
	if err != nil {
		return nil, err
	}
	if s.page != nil {
		return s.page(names, after, limit), nil
	}
	return page(names, after, limit), nil
}

// page is NamesAfter among the names, which are sorted.
func page(names []string, after string, limit int) []string {
	i, found := slices.BinarySearch(names, after)
	if found {
		i++
	}
	return names[i:min(i+max(limit, 0), len(names))]
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
		return names[i:min(i+max(limit, 0), len(names))]
	}, "Pager/PagesAreInOrderAndComplete"),
	"repeats_the_last_name": pages(func(names []string, after string, limit int) []string {
		i, _ := slices.BinarySearch(names, after)
		return names[i:min(i+max(limit, 0), len(names))]
	}, "Pager/PagesAreInOrderAndComplete", "Pager/AfterNeedsNoSession", "Pager/PagesWhileSessionsComeAndGo"),
	"ends_before_the_end": pages(func(names []string, after string, limit int) []string {
		found := page(names, after, limit)
		return found[:max(len(found)-1, 0)]
	}, "Pager/PagesAreInOrderAndComplete"),
	"ignores_limits": pages(func(names []string, after string, _ int) []string {
		return page(names, after, len(names))
	}, "Pager/NoLimitNoNames", "Pager/WordsAboutServersAreOnNoPage"),
	"begins_anew_after_a_name_that_is_gone": pages(func(names []string, after string, limit int) []string {
		if !slices.Contains(names, after) {
			after = ""
		}
		return page(names, after, limit)
	}, "Pager/AfterNeedsNoSession", "Pager/PagesWhileSessionsComeAndGo"),
	"pages_records_about_servers": pages(func(names []string, after string, limit int) []string {
		for _, server := range []string{"https://a.example", "https://b.example", "https://c.example"} {
			if slices.Contains(names, "evertoken:") {
				names = append(names, tokenstore.ServerRecord(server))
			}
		}
		slices.Sort(names)
		return page(names, after, limit)
	}, "Pager/WordsAboutServersAreOnNoPage"),
	"leaves_room_for_records_about_servers": pages(func(names []string, after string, limit int) []string {
		if slices.Contains(names, "evertoken:serves") && after < "evertoken:" {
			limit = min(limit, 2) // the rest of the page is about servers
		}
		return page(names, after, limit)
	}, "Pager/WordsAboutServersAreOnNoPage"),
	"pages_by_position": {store: func() tokenstore.Store { return newByPosition() }, reopen: sharing, fails: []string{
		"Pager/PagesWhileSessionsComeAndGo",
	}},

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

// quietDelete does not tell of deletions, and quietReplace of what is no new record.
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
		found := names[from:min(from+max(limit, 0), len(names))]
		if len(found) > 0 {
			position[found[len(found)-1]] = from + len(found)
		}
		return found
	}
	return s
}
