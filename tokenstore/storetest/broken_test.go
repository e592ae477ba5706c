package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/tokenstore"
)

// A broken store makes one mistake; fails are the tests that must notice.
type broken struct {
	store  func() tokenstore.Store
	reopen func(*testing.T, tokenstore.Store) tokenstore.Store
	fails  []string
	blocks bool // its calls wait for ever, so the tests need not wait long
}

// blocking returns b as a store that blocks.
func blocking(b broken) broken {
	b.blocks = true
	return b
}

var brokenStores = map[string]broken{
	"returns_nil_for_an_absent_record": fault(func() *faulty {
		return &faulty{get: func(f *faulty, ctx context.Context, name string) (*tokenstore.Record, error) {
			rec, err := f.Memory.Get(ctx, name)
			if errors.Is(err, tokenstore.ErrNotFound) {
				return nil, nil
			}
			return rec, err
		}}
	}, "Records/GetAbsent", "Versions/DeleteRemoves"),

	"deletes_absent_records_silently": fault(func() *faulty {
		return &faulty{del: func(f *faulty, ctx context.Context, name string, version uint64) error {
			if err := f.Memory.Delete(ctx, name, version); !errors.Is(err, tokenstore.ErrNotFound) {
				return err
			}
			return nil
		}}
	}, "Records/DeleteAbsent", "Versions/DeleteRemoves"),

	"keeps_the_callers_record": fault(func() *faulty {
		return &faulty{
			set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
				v, err := f.Memory.Set(ctx, name, rec)
				if err == nil {
					f.keep(name, rec)
				}
				return v, err
			},
			get: func(f *faulty, ctx context.Context, name string) (*tokenstore.Record, error) {
				rec, err := f.Memory.Get(ctx, name)
				if err != nil {
					return nil, err
				}
				c := f.keptAs(name).Clone()
				c.Version = rec.Version
				return c, nil
			},
		}
	}, "Records/SetKeepsItsOwnCopy"),

	"hands_out_its_own_record": fault(func() *faulty {
		return &faulty{get: func(f *faulty, ctx context.Context, name string) (*tokenstore.Record, error) {
			rec, err := f.Memory.Get(ctx, name)
			if err != nil {
				return nil, err
			}
			if kept := f.keptAs(name); kept != nil && kept.Version >= rec.Version {
				return kept, nil
			}
			f.keep(name, rec)
			return rec, nil
		}}
	}, "Records/GetReturnsTheCallersOwnCopy"),

	"copies_records_but_not_their_maps": fault(func() *faulty {
		return &faulty{get: func(f *faulty, ctx context.Context, name string) (*tokenstore.Record, error) {
			rec, err := f.Memory.Get(ctx, name)
			if err != nil {
				return nil, err
			}
			if kept := f.keptAs(name); kept != nil && kept.Version == rec.Version {
				rec.Unknown = kept.Unknown
				return rec, nil
			}
			f.keep(name, rec.Clone())
			return rec, nil
		}}
	}, "Records/GetReturnsTheCallersOwnCopy"),

	"sets_the_callers_version": fault(func() *faulty {
		return &faulty{set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
			v, err := f.Memory.Set(ctx, name, rec)
			if err == nil {
				rec.Version = v
			}
			return v, err
		}}
	}, "Records/SetLeavesItsArgumentAlone"),

	"loses_unknown_fields": mangled(func(r *tokenstore.Record) { r.Unknown = nil }, "Records/RoundTripOfEveryField"),
	"loses_extra_fields": mangled(func(r *tokenstore.Record) {
		if r.Tokens != nil {
			r.Tokens.Extra = nil
		}
	}, "Records/RoundTripOfEveryField"),
	"loses_marks":     mangled(func(r *tokenstore.Record) { r.Pending = nil }, "Records/RoundTripOfEveryField"),
	"loses_ancestors": mangled(func(r *tokenstore.Record) { r.Ancestors = nil }, "Records/RoundTripOfEveryField"),
	"cuts_long_tokens": mangled(func(r *tokenstore.Record) {
		if r.Tokens != nil && len(r.Tokens.AccessToken) > 2048 {
			r.Tokens.AccessToken = r.Tokens.AccessToken[:2048]
		}
	}, "Records/LargePair"),
	"invents_a_pair": mangled(func(r *tokenstore.Record) {
		if r.Tokens == nil {
			r.Tokens = storeInvention()
		}
	}, "Records/RoundTripOfFewFields"),
	"merges_into_the_old_record": fault(func() *faulty {
		return &faulty{set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
			if old, err := f.Memory.Get(ctx, name); err == nil && rec.Unknown == nil {
				rec = rec.Clone()
				rec.Unknown = old.Unknown
			}
			return f.Memory.Set(ctx, name, rec)
		}}
	}, "Records/ReplaceLeavesNothingBehind"),
	"quotes_tokens_in_errors": fault(func() *faulty {
		return &faulty{set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
			v, err := f.Memory.Set(ctx, name, rec)
			if err != nil {
				err = fmt.Errorf("%w: %s", err, rec.Tokens.AccessToken)
			}
			return v, err
		}}
	}, "Records/ErrorsHoldNoSecret"),
	"has_one_record_for_all": renamed(func(name string) string {
		if tokenstore.CheckName(name) != nil {
			return name
		}
		return "the one"
	}, "Records/SessionsAreApart", "Names/EveryValidNameIsASessionOfItsOwn"),

	"does_not_compare_versions": fault(func() *faulty { return &faulty{set: overwriting} },
		"Versions/SetOfANewRecordOverAnother", "Versions/F19_OlderPairNeverOverwritesANewerOne",
		"Versions/SetOfAnAbsentRecordWithAVersion", "Versions/F31_StaleWriterDoesNotUndoALogout",
		"Versions/OneOfManyConcurrentCreatorsWins", "Versions/OneOfManyConcurrentSaversWins",
		"Versions/NoUpdateIsLost", "Reopen/VersionsAreShared"),
	"compares_before_it_locks": fault(func() *faulty {
		return &faulty{set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
			stored, err := f.Memory.Get(ctx, name)
			if (err == nil && stored.Version != rec.Version) || (err != nil && rec.Version != 0) {
				return f.Memory.Set(ctx, name, rec) // fails as it should
			}
			for range 100 {
				runtime.Gosched() // a store on a disk takes longer than that
			}
			return overwriting(f, ctx, name, rec)
		}}
	}, "Versions/OneOfManyConcurrentSaversWins"),
	"takes_greater_versions": fault(func() *faulty {
		return &faulty{set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
			if stored, err := f.Memory.Get(ctx, name); err == nil && rec.Version > stored.Version {
				return overwriting(f, ctx, name, rec)
			}
			return f.Memory.Set(ctx, name, rec)
		}}
	}, "Versions/F19_OlderPairNeverOverwritesANewerOne"),
	"deletes_any_version": fault(func() *faulty {
		return &faulty{del: func(f *faulty, ctx context.Context, name string, _ uint64) error {
			rec, err := f.Memory.Get(ctx, name)
			if err != nil {
				return err
			}
			return f.Memory.Delete(ctx, name, rec.Version)
		}}
	}, "Versions/DeleteComparesTheVersion"),
	"does_not_delete": fault(func() *faulty {
		return &faulty{del: func(f *faulty, ctx context.Context, name string, version uint64) error {
			rec, err := f.Memory.Get(ctx, name)
			if err == nil && rec.Version != version {
				err = tokenstore.ErrConflict
			}
			return err
		}}
	}, "Versions/DeleteRemoves", "Lister/DeletedSessionsAreNotListed"),
	"counts_from_one": {
		store: func() tokenstore.Store { return new(fromOne) },
		fails: []string{"Versions/VersionsAreNotUsedAgainAfterDelete"},
	},
	"returns_the_replaced_version": fault(func() *faulty {
		return &faulty{set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
			_, err := f.Memory.Set(ctx, name, rec)
			return rec.Version, err
		}}
	}, "Versions/SetReturnsTheVersionThatGetShows", "Versions/VersionsGrow"),
	"has_versions_beyond_2^53": {
		store: func() tokenstore.Store { return &fromOne{base: 1 << 60} },
		fails: []string{"Versions/VersionsFitAFloat"},
	},

	"folds_case": renamed(strings.ToLower, "Names/EveryValidNameIsASessionOfItsOwn"),
	"trims_names": renamed(func(name string) string {
		if trimmed := strings.TrimSpace(name); trimmed != "" {
			return trimmed
		}
		return name
	}, "Names/EveryValidNameIsASessionOfItsOwn"),
	"cuts_long_names": renamed(func(name string) string {
		if len(name) == 512 {
			return name[:510]
		}
		return name
	}, "Names/EveryValidNameIsASessionOfItsOwn"),
	"takes_empty_names": renamed(func(name string) string {
		if name == "" {
			return "default"
		}
		return name
	}, "Names/InvalidNamesAreRefused"),

	"ignores_contexts": fault(func() *faulty {
		return &faulty{
			get: func(f *faulty, ctx context.Context, name string) (*tokenstore.Record, error) {
				return f.Memory.Get(context.WithoutCancel(ctx), name)
			},
			set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
				return f.Memory.Set(context.WithoutCancel(ctx), name, rec)
			},
		}
	}, "Context/EndedContext"),
	"ignores_contexts_of_lists": fault(func() *faulty {
		return &faulty{
			names: func(f *faulty, ctx context.Context) ([]string, error) {
				return f.Memory.Names(context.WithoutCancel(ctx))
			},
			cleanup: func(f *faulty, ctx context.Context) (int, error) {
				return f.Memory.Cleanup(context.WithoutCancel(ctx))
			},
		}
	}, "Context/EndedContextOfWhatElseIsOffered"),
	"ignores_contexts_of_lists_of_records": fault(func() *faulty {
		return &faulty{records: func(f *faulty, ctx context.Context) ([]string, error) {
			return f.Memory.Records(context.WithoutCancel(ctx))
		}}
	}, "Context/EndedContextOfWhatElseIsOffered"),

	"locks_nothing": fault(func() *faulty {
		return &faulty{lock: func(_ *faulty, ctx context.Context, name string) (tokenstore.Lease, error) {
			return freeLease{}, errors.Join(tokenstore.CheckName(name), ctx.Err())
		}}
	}, "Locker/LockWaitsUntilItsContextEnds", "Locker/LockWithAnEndedContext", "Locker/F18_UnlockTwice",
		"Locker/LeaseErr", "Lister/CleanupLeavesLockedSessionsAlone", "Reopen/LockIsExclusive"),
	"never_unlocks": blocking(fault(func() *faulty {
		return &faulty{lock: func(f *faulty, ctx context.Context, name string) (tokenstore.Lease, error) {
			l, err := f.Memory.Lock(ctx, name)
			if err != nil {
				return nil, err
			}
			return freeLease{l}, nil
		}}
	}, "Locker/UnlockLetsTheNextOneIn", "Locker/WhoLeavesHoldsNothing", "Locker/LockIsExclusive")),
	"returns_bare_context_errors_from_Lock": fault(func() *faulty {
		return &faulty{lock: func(f *faulty, ctx context.Context, name string) (tokenstore.Lease, error) {
			l, err := f.Memory.Lock(ctx, name)
			if errors.Is(err, tokenstore.ErrLocked) {
				err = ctx.Err()
			}
			return l, err
		}}
	}, "Locker/LockWaitsUntilItsContextEnds", "Locker/LockWithAnEndedContext"),
	"unlocks_the_lock_of_others": fault(func() *faulty { return &faulty{lock: sloppyLock} }, "Locker/F18_UnlockTwice"),
	"has_one_lock_for_all": blocking(fault(func() *faulty {
		return &faulty{lock: func(f *faulty, ctx context.Context, name string) (tokenstore.Lease, error) {
			if err := tokenstore.CheckName(name); err != nil {
				return nil, err
			}
			return f.Memory.Lock(ctx, "the one")
		}}
	}, "Locker/LocksAreApart")),
	"creates_a_record_to_lock": fault(func() *faulty {
		return &faulty{lock: func(f *faulty, ctx context.Context, name string) (tokenstore.Lease, error) {
			_, _ = f.Memory.Set(ctx, name, new(tokenstore.Record))
			return f.Memory.Lock(ctx, name)
		}}
	}, "Locker/LockNeedsNoRecord"),
	"saves_under_the_lock": blocking(fault(func() *faulty {
		return &faulty{set: func(f *faulty, ctx context.Context, name string, rec *tokenstore.Record) (uint64, error) {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			lease, err := f.Memory.Lock(ctx, name)
			if err != nil {
				return 0, err
			}
			defer func() { _ = lease.Unlock() }()
			return f.Memory.Set(ctx, name, rec)
		}}
	}, "Locker/TheHolderCanSave")),

	"does_not_sort_names": fault(func() *faulty {
		return &faulty{names: func(f *faulty, ctx context.Context) ([]string, error) {
			names, err := f.Memory.Names(ctx)
			slices.Reverse(names)
			return names, err
		}}
	}, "Lister/NamesAreSorted"),
	"lists_nothing": fault(func() *faulty {
		return &faulty{names: func(*faulty, context.Context) ([]string, error) { return nil, nil }}
	}, "Lister/NamesAreSorted", "Lister/DeletedSessionsAreNotListed"),
	"lists_no_records_about_servers": fault(func() *faulty {
		return &faulty{records: func(f *faulty, ctx context.Context) ([]string, error) { return f.Memory.Names(ctx) }}
	}, "RecordLister/RecordsAreAllThereIs"),
	"does_not_sort_records": fault(func() *faulty {
		return &faulty{records: func(f *faulty, ctx context.Context) ([]string, error) {
			names, err := f.Memory.Records(ctx)
			slices.Reverse(names)
			return names, err
		}}
	}, "RecordLister/RecordsAreAllThereIs"),
	"cleans_up_everything": fault(func() *faulty {
		return &faulty{cleanup: func(f *faulty, ctx context.Context) (int, error) {
			names, _ := f.Memory.Names(ctx)
			for _, name := range names {
				rec, _ := f.Memory.Get(ctx, name)
				_ = f.Memory.Delete(ctx, name, rec.Version)
			}
			return len(names), nil
		}}
	}, "Lister/CleanupRemovesWhatNothingCanRenew", "Lister/CleanupLeavesLockedSessionsAlone"),
	"cleans_up_nothing": fault(func() *faulty {
		return &faulty{cleanup: func(*faulty, context.Context) (int, error) { return 0, nil }}
	}, "Lister/CleanupRemovesWhatNothingCanRenew"),

	"shares_nothing_with_other_processes": {
		store:  func() tokenstore.Store { return new(tokenstore.Memory) },
		reopen: func(*testing.T, tokenstore.Store) tokenstore.Store { return new(tokenstore.Memory) },
		fails: []string{
			"Reopen/RecordsAreShared", "Reopen/VersionsAreShared", "Reopen/OneOfManyConcurrentSaversWins",
			"Reopen/NoUpdateIsLost", "Reopen/LockIsExclusive",
		},
	},
}
