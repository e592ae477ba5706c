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
		"NamesAfter returns the first limit names that sort, by their bytes, after the given one; fewer mean that there are no more",
		func(c *check) {
			if page := c.page("", 3); len(page) != 0 {
				c.Errorf("a page of an empty store: %q", page)
			}
			for _, name := range oddNames {
				c.set(name, record("1"))
			}
			want := slices.Sorted(slices.Values(oddNames))
			for _, limit := range []int{1, 7, len(want) - 1, len(want), len(want) + 1} {
				if got := c.pages(limit); !slices.Equal(got, want) {
					c.Errorf("pages of %d: %q; want %q", limit, got, want)
				}
			}
		},
	},
	{
		"AfterNeedsNoSession",
		"NamesAfter begins behind a name whether or not there is a session of that name",
		func(c *check) {
			version := c.set("b", record("1"))
			c.set("a", record("1"))
			c.set("d", record("1"))
			if err := c.store.Delete(c.ctx, "b", version); err != nil {
				c.Fatalf("Delete: %v", err)
			}
			for after, want := range map[string][]string{"": {"a", "d"}, "a": {"d"}, "b": {"d"}, "c": {"d"}, "d": nil, "z": nil, "\U0010ffff": nil} {
				if page := c.page(after, 10); !slices.Equal(page, want) {
					c.Errorf("the page after %q: %q; want %q", after, page, want)
				}
			}
		},
	},
	{
		"NoLimitNoNames",
		"NamesAfter returns nothing if limit is not above zero",
		func(c *check) {
			c.set("a", record("1"))
			for _, limit := range []int{0, -1} {
				if page := c.page("", limit); len(page) != 0 {
					c.Errorf("a page of %d: %q", limit, page)
				}
			}
		},
	},
	{
		"WordsAboutServersAreOnNoPage",
		"NamesAfter leaves out what is kept about servers (tokenstore.ServerRecord), and fills the page with sessions",
		func(c *check) {
			var last string
			for _, server := range []string{"https://a.example", "https://b.example", "https://c.example"} {
				about := tokenstore.ServerRecord(server)
				c.set(about, &tokenstore.Record{NotBefore: time.Now().Add(time.Hour)})
				last = max(last, about)
			}
			for _, name := range []string{"a", "evertoken:", "evertoken:serves", "z"} {
				c.set(name, record("1"))
			}
			want := []string{"a", "evertoken:", "evertoken:serves", "z"}
			for limit := range 5 {
				if page := c.page("", limit); !slices.Equal(page, want[:limit]) {
					c.Errorf("a page of %d: %q; want %q", limit, page, want[:limit])
				}
			}
			if page := c.page(last, 1); !slices.Equal(page, want[2:3]) {
				c.Errorf("the page after a record about a server: %q; want %q", page, want[2:3])
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
			for limit := 1; limit <= 4; limit++ {
				if got := c.pagesOfPassersBy(limit); !slices.Equal(got, stay) {
					c.Errorf("of %q pages of %d have %q", stay, limit, got)
				}
			}
		},
	},
}

// pagesOfPassersBy reads page after page, and deletes on the way the sessions that it
// has saved among the others, and saves some that sort before all. It returns the
// names of the others.
func (c *check) pagesOfPassersBy(limit int) (others []string) {
	versions := make(map[string]uint64)
	for i := range 10 {
		name := fmt.Sprintf("%02d goes", i)
		versions[name] = c.set(name, record("1"))
	}
	var after string
	for n := range 100 {
		page := c.page(after, limit)
		for _, name := range page {
			if strings.HasSuffix(name, "stays") {
				others = append(others, name)
			} else if version := versions[name]; version != 0 {
				if err := c.store.Delete(c.ctx, name, version); err != nil {
					c.Fatalf("Delete: %v", err)
				}
			}
		}
		if len(page) < limit {
			return others
		}
		after = page[len(page)-1]
		c.set(fmt.Sprintf("%d before all %d", -limit, n), record("1"))
	}
	c.Fatalf("NamesAfter comes to no end: %q", others)
	return nil
}

func (c *check) page(after string, limit int) []string {
	c.Helper()
	page, err := c.store.(tokenstore.Pager).NamesAfter(c.ctx, after, limit)
	if err != nil {
		c.Fatalf("NamesAfter(%q, %d): %v", after, limit, err)
	}
	return page
}

// pages returns the names on all pages of the given length. The walk ends after more
// pages than there can be.
func (c *check) pages(limit int) (all []string) {
	c.Helper()
	for range 1000 {
		var after string
		if len(all) > 0 {
			after = all[len(all)-1]
		}
		page := c.page(after, limit)
		if all = append(all, page...); len(page) < limit {
			return all
		}
	}
	c.Fatalf("NamesAfter comes to no end: %q", all[:10])
	return nil
}

// offersPages reports whether a store lists sessions by the page.
func offersPages(store tokenstore.Store) bool {
	p, ok := store.(tokenstore.Pager)
	if !ok {
		return false
	}
	_, err := p.NamesAfter(context.Background(), "", 1)
	return !errors.Is(err, errors.ErrUnsupported)
}
