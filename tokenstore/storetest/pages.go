package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

var pageTests = []test{
	{
		"PagesAreInOrderAndComplete",
		"Pages yields all sessions, in the order in which their names sort by their bytes, at most size at a time and at least one, whatever size is",
		func(c *check) {
			if names := c.pages(3); len(names) != 0 {
				c.Errorf("the pages of an empty store have %q", names)
			}
			for _, name := range oddNames {
				c.set(name, record("1"))
			}
			want := slices.Sorted(slices.Values(oddNames))
			for _, size := range []int{-1, 0, 1, 7, len(want) - 1, len(want), len(want) + 1} {
				if got := c.pages(size); !slices.Equal(got, want) {
					c.Errorf("pages of %d have %q; want %q", size, got, want)
				}
			}
		},
	},
	{
		"PagesHaveTheRecords",
		"an entry of Pages has the record that Get returns, the caller's own copy, and the stamp that Stamp returns",
		func(c *check) {
			for i, name := range []string{"a", "b", "c"} {
				rec := full()
				rec.Tokens.AccessToken += name
				for range i {
					rec.Version = c.set(name, rec)
				}
				c.set(name, rec)
			}
			seen := 0
			c.eachPage(2, func(page []tokenstore.Entry) bool {
				for _, e := range page {
					seen++
					want := c.get(e.Name)
					if e.Record == nil {
						c.Fatalf("%q comes without its record", e.Name)
					}
					if fields := diff(e.Record, want); len(fields) > 0 || e.Record.Version != want.Version {
						c.Errorf("%q comes with other values than Get returns in %v", e.Name, fields)
					}
					if offersStamps(c.store) && e.Stamp != c.stamp(e.Name) {
						c.Errorf("%q comes with the stamp %d; want %d", e.Name, e.Stamp, c.stamp(e.Name))
					}
					scribble(e.Record)
					if fields := diff(c.get(e.Name), want); len(fields) > 0 {
						c.Errorf("a change of the entry's record changed the stored one in %v", fields)
					}
				}
				return true
			})
			if seen != 3 {
				c.Errorf("%d entries; want 3", seen)
			}
		},
	},
	{
		"WordsAboutServersAreOnNoPage",
		"Pages leaves out what is kept about servers (tokenstore.ServerRecord)",
		func(c *check) {
			for _, server := range []string{"https://a.example", "https://b.example", "https://c.example"} {
				c.set(tokenstore.ServerRecord(server), &tokenstore.Record{NotBefore: time.Now().Add(time.Hour)})
			}
			want := []string{"a", "evertoken:", "evertoken:serves", "z"}
			for _, name := range want {
				c.set(name, record("1"))
			}
			for size := 1; size <= 5; size++ {
				if got := c.pages(size); !slices.Equal(got, want) {
					c.Errorf("pages of %d have %q; want %q", size, got, want)
				}
			}
		},
	},
	{
		"PagesWhileSessionsComeAndGo",
		"a caller that reads page after page while others save and delete sessions finds each one that is there all the time once, in order",
		func(c *check) {
			var stay []string
			for i := range 10 {
				stay = append(stay, fmt.Sprintf("%02d stays", i))
				c.set(stay[i], record("1"))
			}
			for size := 1; size <= 4; size++ {
				if got := c.pagesOfPassersBy(size); !slices.Equal(got, stay) {
					c.Errorf("of %q pages of %d have %q", stay, size, got)
				}
			}
		},
	},
	{
		"PagesCanBeKeptAndLeft",
		"a page stays as it is when the next one comes, and a caller may leave after any page and begin anew",
		func(c *check) {
			want := []string{"a", "b", "c", "d", "e"}
			for _, name := range want {
				c.set(name, record(name))
			}
			for n := range 3 {
				var kept [][]tokenstore.Entry
				c.eachPage(2, func(page []tokenstore.Entry) bool {
					kept = append(kept, page)
					return len(kept) <= n
				})
				var got []string
				for _, page := range kept {
					got = append(got, names(page)...)
				}
				if !slices.Equal(got, want[:min(2*(n+1), len(want))]) {
					c.Errorf("%d pages of two have %q", n+1, got)
				}
			}
		},
	},
	{
		"PagesEndWithTheContext",
		"Pages yields an error that wraps the context's when that has ended, and nothing after it",
		func(c *check) {
			for _, name := range []string{"a", "b", "c"} {
				c.set(name, record("1"))
			}
			ctx, cancel := context.WithCancel(c.ctx)
			defer cancel()
			var last error
			pages := 0
			for _, err := range c.store.(tokenstore.Pager).Pages(ctx, 1) {
				if last != nil {
					c.Errorf("another page after the error %v", last)
				}
				last = err
				pages++
				cancel()
			}
			c.wantErr("Pages", last, context.Canceled)
			if pages > 3 {
				c.Errorf("%d pages; want two at most, and the error", pages)
			}
		},
	},
}

// pagesOfPassersBy reads page after page, and deletes on the way the sessions that it
// has saved among the others, and saves some that sort before all. It returns the
// names of the others.
func (c *check) pagesOfPassersBy(size int) (others []string) {
	versions := make(map[string]uint64)
	for i := range 10 {
		name := fmt.Sprintf("%02d goes", i)
		versions[name] = c.set(name, record("1"))
	}
	n := 0
	c.eachPage(size, func(page []tokenstore.Entry) bool {
		for _, name := range names(page) {
			if strings.HasSuffix(name, "stays") {
				others = append(others, name)
			} else if version := versions[name]; version != 0 {
				if err := c.store.Delete(c.ctx, name, version); err != nil {
					c.Fatalf("Delete: %v", err)
				}
			}
		}
		c.set(fmt.Sprintf("%d before all %d", -size, n), record("1"))
		n++
		return true
	})
	return others
}

// eachPage calls fn with each page until it returns false. A walk that has more pages than
// there can be fails.
func (c *check) eachPage(size int, fn func(page []tokenstore.Entry) bool) {
	c.Helper()
	pages := 0
	for page, err := range c.store.(tokenstore.Pager).Pages(c.ctx, size) {
		if err != nil {
			c.Fatalf("Pages(%d): %v", size, err)
		}
		if len(page) == 0 || len(page) > max(size, 1) {
			c.Errorf("a page of %d has %q", size, names(page))
		}
		if pages++; pages > 1000 {
			c.Fatalf("Pages comes to no end: %q", names(page))
		}
		if !fn(page) {
			return
		}
	}
}

// pages returns the names on all pages of a size.
func (c *check) pages(size int) (all []string) {
	c.Helper()
	c.eachPage(size, func(page []tokenstore.Entry) bool {
		all = append(all, names(page)...)
		return true
	})
	return all
}

func names(page []tokenstore.Entry) []string {
	var all []string
	for _, e := range page {
		all = append(all, e.Name)
	}
	return all
}

// offersPages reports whether a store reads sessions by the page. One that wraps another
// does only if that one does.
func offersPages(store tokenstore.Store) bool {
	p, ok := store.(tokenstore.Pager)
	if !ok {
		return false
	}
	for _, err := range p.Pages(context.Background(), 1) {
		return !errors.Is(err, errors.ErrUnsupported)
	}
	return true
}
