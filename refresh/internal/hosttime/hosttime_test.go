package hosttime

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/moment"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestADifferenceOfClocksCountsIfItIsMoreThanNoise(t *testing.T) {
	const ms = time.Millisecond
	at := func(ahead time.Duration) *reading { return &reading{ahead: ahead} }
	for _, tt := range []struct {
		ahead, doubt time.Duration
		last         *reading
		want         time.Duration
	}{
		{0, 0, nil, 0},
		{time.Second, 0, nil, 0},
		{-time.Second, 0, nil, 0},
		{1001 * ms, 0, nil, 1001 * ms},
		{-1001 * ms, 0, nil, -1001 * ms},
		{3 * time.Second, 2 * time.Second, nil, 0}, // the answer took four seconds
		{5 * time.Minute, 2 * time.Second, nil, 5 * time.Minute},
		{5*time.Minute + 100*ms, 0, at(5 * time.Minute), 5 * time.Minute},
		{5*time.Minute + 101*ms, 0, at(5 * time.Minute), 5*time.Minute + 101*ms},
		{5*time.Minute - 300*ms, 200 * ms, at(5 * time.Minute), 5 * time.Minute},
		{950 * ms, 0, at(1010 * ms), 1010 * ms},
		{800 * ms, 0, at(1010 * ms), 0},
		{0, 0, at(-5 * time.Minute), 0},
	} {
		if got := settled(tt.ahead, tt.doubt, tt.last); got != tt.want {
			t.Errorf("%v, to within %v, after %+v counts as %v; want %v", tt.ahead, tt.doubt, tt.last, got, tt.want)
		}
	}
}

func TestAReadingOfAClockIsGoodForAWhile(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name string
		at   time.Time
		want bool
	}{
		{"just now", now, true},
		{"a while ago", now.Add(-59 * time.Second), true},
		{"too long ago", now.Add(-time.Minute), false},
		{"too long ago by the wall", now.Add(-time.Minute).Round(0), false},
		{"by a wall clock that was set back", now.Add(time.Second).Round(0), false},
	} {
		if got := (&reading{at: moment.Of(tt.at)}).good(moment.Of(now), time.Minute); got != tt.want {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
	if (*reading)(nil).good(moment.Of(now), time.Minute) {
		t.Error("no reading is good")
	}
}

// Every time that a record has or will have is translated, there and back.
func TestAllTimesOfARecordAreMoved(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	mark := func(h int) *tokenstore.Mark {
		return &tokenstore.Mark{Token: "t", At: at.Add(time.Duration(h) * time.Hour), Code: "c"}
	}
	rec := &tokenstore.Record{
		Tokens: &oauth.TokenPair{AccessToken: "a", RefreshToken: "r", IssuedAt: at, ExpiresAt: at.Add(time.Hour),
			RefreshAt: at.Add(30 * time.Minute), RefreshExpiresAt: at.Add(24 * time.Hour), Skew: 3 * time.Second},
		Version: 7, Pending: mark(1), Refused: mark(2), Dead: mark(3), NotBefore: at.Add(time.Minute), RefreshedAt: at, RefreshedBy: "id",
	}
	original := rec.Clone()
	there := moved(rec, 5*time.Minute)
	if !reflect.DeepEqual(rec, original) {
		t.Error("the record itself was changed")
	}
	if n, want := timesOf(reflect.ValueOf(there), at), timesOf(reflect.ValueOf(rec), at); n != want+5*9*time.Minute {
		t.Errorf("times were moved by %v in all; want 5m for each of 9", n-want)
	}
	if there.Tokens.Skew != 5*time.Minute+3*time.Second {
		t.Errorf("a skew of 3s became %v", there.Tokens.Skew)
	}
	if back := moved(there, -5*time.Minute); !reflect.DeepEqual(back, original) {
		t.Errorf("there and back again is %+v; want %+v", back, original)
	}
	bare := new(tokenstore.Record)
	if got := moved(bare, time.Hour); !reflect.DeepEqual(got, bare) {
		t.Errorf("a record without times became %+v", got)
	}
}

// timesOf returns how much later than since all times in v are, taken together.
func timesOf(v reflect.Value, since time.Time) (sum time.Duration) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		if at := v.Interface().(time.Time); !at.IsZero() {
			return at.Sub(since)
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return timesOf(v.Elem(), since)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				sum += timesOf(v.Field(i), since)
			}
		}
	}
	return sum
}

// A told is a Timekeeper that answers by a function, after a while.
type told struct {
	tokenstore.Memory
	answer func(context.Context) (time.Time, error)
	asked  atomic.Int64
}

func (s *told) Time(ctx context.Context) (time.Time, error) {
	s.asked.Add(1)
	time.Sleep(2 * time.Second)
	return s.answer(ctx)
}

// hostTimeOf returns the translation for a host that is ahead of s by ten seconds, and
// what it logs.
func hostTimeOf(s *told) (*store, *bytes.Buffer) {
	logged := new(bytes.Buffer)
	return Of(s, time.Now, time.Minute, slog.New(slog.NewTextHandler(logged, nil))).(*store), logged
}

func tenSecondsAgo(context.Context) (time.Time, error) {
	return time.Now().Add(-time.Second - 10*time.Second), nil // it was read halfway through the call
}

func TestTheStoresClockIsReadOnceForManyAndInTheMiddleOfTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &told{answer: tenSecondsAgo}
		h, logged := hostTimeOf(s)
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				if ahead, err := h.ahead(t.Context()); ahead != 10*time.Second || err != nil {
					t.Errorf("ahead by %v, %v; want 10s", ahead, err)
				}
			})
		}
		callers.Wait()
		if n := s.asked.Load(); n != 1 {
			t.Errorf("the store was asked %d times", n)
		}
		time.Sleep(time.Hour)
		if _, err := h.ahead(t.Context()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(logged.String(), "level=WARN"); n != 1 || !strings.Contains(logged.String(), "ahead=10s") {
			t.Errorf("logged: %s", logged)
		}
	})
}

func TestWhoCannotWaitForTheStoresClockNeedNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := hostTimeOf(&told{answer: tenSecondsAgo})
		var first sync.WaitGroup
		first.Go(func() { _, _ = h.ahead(t.Context()) })
		defer first.Wait()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.ahead(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v; want the context's", err)
		}
	})
}

func TestAStoreWithoutAnAnswerIsNotTakenForOneInAgreement(t *testing.T) {
	late := errors.New("too late")
	for _, tt := range []struct {
		name   string
		answer func(context.Context) (time.Time, error)
		known  bool // whether the host's clock counts from now on
		warned bool
	}{
		{"unavailable", func(context.Context) (time.Time, error) { return time.Time{}, tokenstore.ErrUnavailable }, false, false},
		{"out of time", func(ctx context.Context) (time.Time, error) { <-ctx.Done(); return time.Time{}, late }, false, false},
		{"refused", func(context.Context) (time.Time, error) { return time.Time{}, errors.New("NOPERM") }, true, true},
		{"no time", func(context.Context) (time.Time, error) { return time.Time{}, nil }, true, true},
		{"unsupported", func(context.Context) (time.Time, error) { return time.Time{}, errors.ErrUnsupported }, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &told{answer: tt.answer}
				h, logged := hostTimeOf(s)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				ahead, err := h.ahead(ctx)
				if ahead != 0 || (err == nil) != tt.known {
					t.Errorf("ahead by %v, %v", ahead, err)
				}
				if warned := logged.Len() > 0; warned != tt.warned {
					t.Errorf("logged: %s", logged)
				}
				s.answer = tenSecondsAgo
				time.Sleep(time.Minute)
				if ahead, err := h.ahead(t.Context()); ahead != 10*time.Second || err != nil {
					t.Errorf("ahead by %v, %v when the store told the time; want 10s", ahead, err)
				}
			})
		})
	}
}

// A laggingStore tells a time that is an hour behind the host's.
type laggingStore struct{ *tokenstore.Memory }

func (laggingStore) Time(context.Context) (time.Time, error) { return time.Now().Add(-time.Hour), nil }

// What comes on a page is what Get returns.
func TestTimesOnPagesAreMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Of(laggingStore{new(tokenstore.Memory)}, time.Now, time.Minute, slog.New(slog.DiscardHandler))
		ends := time.Now().Add(time.Minute).UTC()
		if _, err := s.Set(t.Context(), "a", &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: ends}}); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for page, err := range s.(tokenstore.Pager).Pages(t.Context(), 10) {
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				if seen++; !e.Record.Tokens.ExpiresAt.Equal(ends) {
					t.Errorf("the token ends at %v; want %v", e.Record.Tokens.ExpiresAt, ends)
				}
			}
		}
		if seen != 1 {
			t.Errorf("%d entries", seen)
		}
	})
}

type bareStore struct{ tokenstore.Store }

func (bareStore) Time(context.Context) (time.Time, error) { return time.Now(), nil }

func TestAStoreWithoutPagesSaysSo(t *testing.T) {
	s := Of(bareStore{new(tokenstore.Memory)}, time.Now, time.Minute, slog.New(slog.DiscardHandler))
	for _, err := range s.(tokenstore.Pager).Pages(t.Context(), 10) {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("error %v", err)
		}
	}
}
