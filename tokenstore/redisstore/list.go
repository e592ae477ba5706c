package redisstore

import (
	"context"
	"iter"
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
	err := s.pages(ctx, func(names []string) { all = append(all, names...) })
	return all, failed("list sessions", err)
}

// Records implements [tokenstore.RecordLister].
func (s *Store) Records(ctx context.Context) ([]string, error) {
	var all []string
	err := s.walk(ctx, pageSize, func(names []string) (more bool, err error) {
		here, _, err := s.divide(ctx, names)
		all = append(all, here...)
		return true, err
	})
	return all, failed("list records", err)
}

// Count implements [tokenstore.Lister]. It goes through all names.
func (s *Store) Count(ctx context.Context) (int, error) {
	n := 0
	err := s.pages(ctx, func(names []string) { n += len(names) })
	return n, failed("count sessions", err)
}

// Pages implements [tokenstore.Pager]. A page is two round trips, one for the names and one
// for the records, and costs the same however many sessions there are. One more comes before
// the first.
func (s *Store) Pages(ctx context.Context, size int) iter.Seq2[[]tokenstore.Entry, error] {
	size = max(size, 1)
	return func(yield func([]tokenstore.Entry, error) bool) {
		err := s.walk(ctx, size, func(names []string) (more bool, err error) {
			entries, err := s.entries(ctx, sessions(names))
			for page := range slices.Chunk(entries, size) {
				if !yield(page, nil) {
					return false, nil
				}
			}
			return true, err
		})
		if err != nil {
			yield(nil, failed("read sessions", err))
		}
	}
}

// entries returns those of the names that have a session. Names without one, whose time has
// come, are passed over.
func (s *Store) entries(ctx context.Context, names []string) ([]tokenstore.Entry, error) {
	records, err := s.hashes(ctx, names)
	if err != nil {
		return nil, err
	}
	var page []tokenstore.Entry
	for i, found := range records {
		if !found.here && !found.aside {
			continue
		}
		e := tokenstore.Entry{Name: names[i]}
		if rec, err := found.decode(); found.here && err == nil {
			e.Record, e.Stamp = rec, rec.Version
			s.saw(names[i], rec.Version)
		}
		page = append(page, e)
	}
	return page, nil
}

// hashes returns what is stored of the named sessions.
func (s *Store) hashes(ctx context.Context, names []string) ([]stored, error) {
	if len(names) == 0 {
		return nil, nil
	}
	return call(ctx, func(ctx context.Context) ([]stored, error) {
		found := make([]*redis.Cmd, len(names))
		err := s.pipelined(ctx, func(p redis.Pipeliner) {
			for i, name := range names { // as a whole: in the middle of others, none can be sent again
				found[i] = getScript.Eval(ctx, p, []string{s.recordKey(name)}, tokenstore.MaxRecord)
			}
		})
		return values(found, func(c *redis.Cmd) stored { return readStored(c.Val()) }), err
	})
}

// pipelined sends the commands of fn together. One whose key is of another type has no
// value, and does not fail the others.
func (s *Store) pipelined(ctx context.Context, fn func(p redis.Pipeliner)) error {
	cmds, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		fn(p)
		return nil
	})
	if !redis.HasErrorPrefix(err, wrongType) {
		return err
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && !redis.HasErrorPrefix(err, wrongType) {
			return err
		}
	}
	return nil
}

// pages calls fn with the names of all sessions, in order.
func (s *Store) pages(ctx context.Context, fn func(names []string)) error {
	return s.walk(ctx, pageSize, func(names []string) (more bool, err error) {
		here, _, err := s.divide(ctx, sessions(names))
		fn(here)
		return true, err
	})
}

// sessions returns names without those of records about servers. It changes names.
func sessions(names []string) []string { return slices.DeleteFunc(names, tokenstore.IsServerRecord) }

// walk calls fn with all names in the index, which fn may change, in order, about as many at a
// time as wanted, until fn returns false or an error.
func (s *Store) walk(ctx context.Context, want int, fn func(names []string) (more bool, err error)) error {
	for after := ""; ; {
		names, next, err := s.indexed(ctx, after, want)
		if err != nil {
			return err
		}
		more, err := fn(names)
		if err != nil || !more || next == "" {
			return err
		}
		after = next
	}
}

// indexed returns names of the index that come after the given one, in order, about
// as many as wanted, and the last that was looked at if there are more, or else "". It
// leaves none out that a session can have.
func (s *Store) indexed(ctx context.Context, after string, want int) (names []string, next string, err error) {
	if after == "" {
		if err := s.straighten(ctx); err != nil {
			return nil, "", err
		}
	}
	// Names are spread evenly; some buckets have more than their share.
	each := min(want, 2*want/buckets+8)
	parts, err := call(ctx, func(ctx context.Context) ([][]string, error) {
		var found [buckets]*redis.StringSliceCmd
		err := s.pipelined(ctx, func(p redis.Pipeliner) {
			for b := range found { // at first, "(" leaves out the empty name alone, which no session has
				found[b] = p.ZRangeArgs(ctx, redis.ZRangeArgs{Key: s.indexKey(b), Start: "(" + after, Stop: "+", ByLex: true, Count: int64(each)})
			}
		})
		return values(found[:], (*redis.StringSliceCmd).Val), err
	})
	if err != nil {
		return nil, "", err
	}
	for b, part := range parts {
		parts[b] = following(part, after)
	}
	names, more := merge(parts, each)
	if more {
		next = names[len(names)-1]
	}
	// Another program may have put a name into the index of another bucket too, or what is not a name.
	names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return tokenstore.CheckName(name) != nil })
	return names, next, nil
}

// straighten takes the scores away from names that another program has given some. With
// them, names are not in the order of their bytes, and what is asked for by that is not
// found.
func (s *Store) straighten(ctx context.Context) error {
	counts, err := call(ctx, func(ctx context.Context) ([]int64, error) {
		found := make([]*redis.IntCmd, 2*buckets)
		err := s.pipelined(ctx, func(p redis.Pipeliner) {
			for b := range buckets {
				found[2*b] = p.ZCount(ctx, s.indexKey(b), "-inf", "(0")
				found[2*b+1] = p.ZCount(ctx, s.indexKey(b), "(0", "+inf")
			}
		})
		return values(found, (*redis.IntCmd).Val), err
	})
	if err != nil {
		return err
	}
	for b := range buckets {
		if counts[2*b]+counts[2*b+1] == 0 {
			continue
		}
		key := s.indexKey(b)
		if _, err := call(ctx, func(ctx context.Context) (int64, error) {
			return s.client.ZUnionStore(ctx, key, &redis.ZStore{Keys: []string{key}, Weights: []float64{0}}).Result()
		}); err != nil {
			return err
		}
	}
	return nil
}

// following returns the names that come after the given one, in order. An index that
// another program has just put out of order has others too; a list would not end.
func following(names []string, after string) []string {
	if len(names) == 0 || slices.IsSorted(names) && names[0] > after {
		return names
	}
	slices.Sort(names)
	i, found := slices.BinarySearch(names, after)
	if found {
		i++
	}
	return names[i:]
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
		err := s.pipelined(ctx, func(p redis.Pipeliner) {
			for i, name := range names {
				found[i] = p.Exists(ctx, s.recordKey(name))
			}
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
