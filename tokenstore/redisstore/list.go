package redisstore

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/tokenstore"
)

// Every bucket has an index of its names, a sorted set in which all have the same
// score and so are in the order of their bytes. It is written by the same script as
// the session. SCAN would need no index, but would walk through all that is in
// Redis, other programs' keys too, for every page of names; and one index of all
// names would lie in another slot than most sessions, where no script reaches both.
//
// A session whose time has come leaves its name behind. Names that have no session
// are passed over here, and taken out by Cleanup.

// pageSize is how many sessions are looked at together.
const pageSize = 4096

// Names implements [tokenstore.Lister]. It lists a session whose record is damaged or
// too new too.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	var all []string
	err := s.pages(ctx, func(names []string) error {
		all = append(all, names...)
		return nil
	})
	return all, failed("list sessions", err)
}

// Count implements [tokenstore.Lister]. It goes through all names.
func (s *Store) Count(ctx context.Context) (int, error) {
	n := 0
	err := s.pages(ctx, func(names []string) error {
		n += len(names)
		return nil
	})
	return n, failed("count sessions", err)
}

// NamesAfter implements [tokenstore.Pager]. Its costs do not grow with the number of
// sessions.
func (s *Store) NamesAfter(ctx context.Context, after string, limit int) ([]string, error) {
	names, err := s.page(ctx, after, limit)
	return names, failed("list sessions", err)
}

func (s *Store) page(ctx context.Context, after string, limit int) ([]string, error) {
	var all []string
	for more := true; more && len(all) < limit; {
		var names, here []string
		var err error
		if names, more, err = s.indexed(ctx, after, limit-len(all)); err == nil {
			here, _, err = s.divide(ctx, names)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, slices.DeleteFunc(here, tokenstore.IsServerRecord)...)
		if more {
			after = names[len(names)-1]
		}
	}
	return all[:min(len(all), max(limit, 0))], nil
}

// pages calls fn with the names of all sessions, in order.
func (s *Store) pages(ctx context.Context, fn func(names []string) error) error {
	for after := ""; ; {
		names, err := s.page(ctx, after, pageSize)
		if err != nil {
			return err
		}
		if err := fn(names); err != nil || len(names) < pageSize {
			return err
		}
		after = names[len(names)-1]
	}
}

// indexed returns names of the index that come after the given one, in order, about
// as many as wanted, and whether there are more. It leaves none out.
func (s *Store) indexed(ctx context.Context, after string, want int) (names []string, more bool, err error) {
	// Names are spread evenly; some buckets have more than their share.
	each := min(want, 2*want/buckets+8)
	from := "-"
	if after != "" {
		from = "(" + after
	}
	parts, err := call(ctx, func(ctx context.Context) ([][]string, error) {
		var found [buckets]*redis.StringSliceCmd
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for b := range found {
				found[b] = p.ZRangeArgs(ctx, redis.ZRangeArgs{Key: s.indexKey(b), Start: from, Stop: "+", ByLex: true, Count: int64(each)})
			}
			return nil
		})
		return values(found[:], (*redis.StringSliceCmd).Val), err
	})
	if err != nil {
		return nil, false, err
	}
	names, more = merge(parts, each)
	return names, more, nil
}

// merge puts sorted lists, the first of each at most, together. A list of that length
// may go on, so what comes after its last name is left for the next time.
func merge(parts [][]string, each int) (names []string, more bool) {
	var end string // the last name up to which all are known
	for _, part := range parts {
		names = append(names, part...)
		if len(part) < each {
			continue
		}
		if last := part[len(part)-1]; !more || last < end {
			more, end = true, last
		}
	}
	slices.Sort(names)
	if !more {
		return names, false
	}
	i, _ := slices.BinarySearch(names, end)
	return names[:i+1], true
}

// divide divides names into those that have a session and those that have none.
func (s *Store) divide(ctx context.Context, names []string) (here, gone []string, err error) {
	if len(names) == 0 {
		return nil, nil, nil
	}
	counts, err := call(ctx, func(ctx context.Context) ([]int64, error) {
		found := make([]*redis.IntCmd, len(names))
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, name := range names {
				found[i] = p.Exists(ctx, s.recordKey(name))
			}
			return nil
		})
		return values(found, (*redis.IntCmd).Val), err
	})
	if err != nil {
		return nil, nil, err
	}
	for i, name := range names {
		if counts[i] > 0 {
			here = append(here, name)
		} else {
			gone = append(gone, name)
		}
	}
	return here, gone, nil
}

// values reads the answers of commands.
func values[C, V any](commands []C, value func(C) V) []V {
	all := make([]V, len(commands))
	for i, c := range commands {
		all[i] = value(c)
	}
	return all
}
