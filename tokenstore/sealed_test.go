package tokenstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

func TestSealedMemoryKeepsThePromisesOfAStore(t *testing.T) {
	keys := tokenstore.Keys(tokenstore.NewKey())
	inner := make(map[tokenstore.Store]*tokenstore.Memory)
	storetest.Run(t, func(t *testing.T) tokenstore.Store {
		m := new(tokenstore.Memory)
		s := tokenstore.NewSealed(m, keys)
		inner[s] = m
		t.Cleanup(func() { wantAllSealed(t, m) })
		return s
	}, storetest.Reopen(func(_ *testing.T, s tokenstore.Store) tokenstore.Store {
		return tokenstore.NewSealed(inner[s], keys)
	}))
}

func TestSealedFileKeepsThePromisesOfAStore(t *testing.T) {
	keys := tokenstore.Keys(tokenstore.NewKey())
	dirs := make(map[tokenstore.Store]string)
	storetest.Run(t, func(t *testing.T) tokenstore.Store {
		f := openFile(t, testdir.New(t))
		s := tokenstore.NewSealed(f, keys)
		dirs[s] = f.Dir()
		t.Cleanup(func() { wantAllSealed(t, f) })
		return s
	}, storetest.Reopen(func(t *testing.T, s tokenstore.Store) tokenstore.Store {
		return tokenstore.NewSealed(openFile(t, dirs[s]), keys)
	}))
}

// A bareStore has the three methods of a Store, and no more.
type bareStore struct{ tokenstore.Store }

// A lockingStore hides that a Sealed is a Lister, which one over a bareStore is
// in name only.
type lockingStore struct {
	tokenstore.Store
	tokenstore.Locker
}

func TestSealedBareStoreKeepsThePromisesOfAStore(t *testing.T) {
	keys := tokenstore.Keys(tokenstore.NewKey())
	storetest.Run(t, func(*testing.T) tokenstore.Store {
		s := tokenstore.NewSealed(bareStore{new(tokenstore.Memory)}, keys)
		return lockingStore{s, s}
	})
}

// A carelessStore checks nothing, so that Sealed must.
type carelessStore struct{ t *testing.T }

func (s carelessStore) Get(_ context.Context, name string) (*tokenstore.Record, error) {
	s.t.Errorf("Get(%q) reached the store beneath", name)
	return nil, tokenstore.ErrNotFound
}

func (s carelessStore) Set(_ context.Context, name string, _ *tokenstore.Record) (uint64, error) {
	s.t.Errorf("Set(%q) reached the store beneath", name)
	return 1, nil
}

func (s carelessStore) Delete(_ context.Context, name string, _ uint64) error {
	s.t.Errorf("Delete(%q) reached the store beneath", name)
	return nil
}

func TestSealedPassesNoSenselessCallOn(t *testing.T) {
	s := newSealed(carelessStore{t}, tokenstore.NewKey())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		ctx  context.Context
		name string
		want error
	}{
		{t.Context(), "", tokenstore.ErrInvalidName},
		{t.Context(), "a\x00b", tokenstore.ErrInvalidName},
		{ended, "default", context.Canceled},
	} {
		_, get := s.Get(test.ctx, test.name)
		_, set := s.Set(test.ctx, test.name, &tokenstore.Record{Tokens: newPair("a")})
		for what, err := range map[string]error{"Get": get, "Set": set, "Delete": s.Delete(test.ctx, test.name, 1)} {
			if !errors.Is(err, test.want) {
				t.Errorf("%s(%q): %v; want %v", what, test.name, err, test.want)
			}
		}
	}
	if _, err := s.Set(t.Context(), "default", nil); err == nil || !strings.Contains(err.Error(), "no record was given") {
		t.Errorf("Set of no record: %v", err)
	}
}

func TestSealedBareStoreSaysWhatItCannotDo(t *testing.T) {
	s := newSealed(bareStore{new(tokenstore.Memory)}, tokenstore.NewKey())
	for what, call := range map[string]func(context.Context) error{
		"Names":     func(ctx context.Context) error { _, err := s.Names(ctx); return err },
		"Count":     func(ctx context.Context) error { _, err := s.Count(ctx); return err },
		"Cleanup":   func(ctx context.Context) error { _, err := s.Cleanup(ctx); return err },
		"Reseal":    func(ctx context.Context) error { _, err := s.Reseal(ctx); return err },
		"SealPlain": func(ctx context.Context) error { _, err := s.SealPlain(ctx); return err },
	} {
		if err := call(t.Context()); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "bareStore cannot be looked through") {
			t.Errorf("%s: %v; want an error that wraps errors.ErrUnsupported and names the store", what, err)
		}
	}
}

// The whole record is inside: nothing is lost, and nothing but its version, the
// name of the key and its size is outside.
func TestF36_SealedRecordIsCompleteAfterReload(t *testing.T) {
	rec := fullRecord()
	wantNoZeroField(t, *rec)
	wantNoZeroField(t, *rec.Tokens)
	dir, key := testdir.New(t), tokenstore.NewKey()
	version := mustSet(t, newSealed(openFile(t, dir), key), "default", rec)

	want := rec.Clone()
	want.Version = version
	got := mustGet(t, newSealed(openFile(t, dir), key), "default")
	if !reflect.DeepEqual(spelled(t, got), spelled(t, want)) {
		t.Errorf("the record came back as another one:\ngot  %#v %#v\nwant %#v %#v", spelled(t, got).Unknown, got.Tokens.Extra, want.Unknown, want.Tokens.Extra)
	}

	stored := mustGet(t, openFile(t, dir), "default")
	sealed := stored.Unknown["sealed"]
	if want := (&tokenstore.Record{Version: version, Unknown: map[string]json.RawMessage{"sealed": sealed}}); !reflect.DeepEqual(stored, want) {
		t.Errorf("beside the sealed content there is more in the store")
	}
	var outside map[string]any
	if err := json.Unmarshal(sealed, &outside); err != nil {
		t.Fatal(err)
	}
	delete(outside, "data")
	if want := map[string]any{"v": 1.0, "key": key.ID()}; !reflect.DeepEqual(outside, want) {
		t.Errorf("around the sealed content there is %v; want %v", outside, want)
	}
}

// fullRecord returns a record that sets every field, in the form in which stores
// return it. Its secrets contain "planted".
func fullRecord() *tokenstore.Record {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)
	mark := func(label string) *tokenstore.Mark {
		return &tokenstore.Mark{Token: "planted-" + label, At: at.Add(time.Minute), Code: label}
	}
	return &tokenstore.Record{
		Tokens: &oauth.TokenPair{
			AccessToken: "planted-access", RefreshToken: "planted-refresh", TokenType: "DPoP", ExpiresIn: 900,
			ExpiresAt: at.Add(time.Hour), IssuedAt: at, RefreshAt: at.Add(time.Minute), RefreshExpiresAt: at.Add(24 * time.Hour), GrantedAt: at.Add(-time.Hour),
			Scope: "planted-scope", IDToken: "planted-id", GrantType: "planted-grant", Skew: -2 * time.Second, DPoPKey: plantedKey(),
			Extra: map[string]json.RawMessage{"account": json.RawMessage(`{"id":12345678901234567890,"name":"planted <&>"}`)},
		},
		Version: 0, Pending: mark("pending"), Refused: mark("refused"), Dead: mark("dead"),
		NotBefore: at.Add(time.Second), AskedAt: at.Add(time.Second / 2), WentBackAt: at.Add(time.Second / 4), RefreshedAt: at.Add(2 * time.Second), RefreshedBy: "planted-client",
		Ancestors: []string{"planted-ancestor", "2"}, Replaced: []string{"planted-replaced"}, Places: []string{"planted-place"},
		Login: "planted-login", Witnesses: []string{"planted-witness"},
		Unknown: map[string]json.RawMessage{"from_the_future": json.RawMessage(`["planted"]`), "sealed": json.RawMessage(`1`)},
	}
}

// plantedD is the private part of plantedKey.
const plantedD = "EaXMAABiNsYN9D6ylKFj2ma1OFPirBwP8xOLKt4EmNs"

func plantedKey() (key oauth.DPoPKey) {
	err := json.Unmarshal([]byte(`{"kty":"EC","crv":"P-256",
		"x":"XT9-QywqxpGiEAkG-7DZSLDQcl_tA38brno14CBaQto", "y":"AAM25mr7qmqyuqti6XMbk9WNUhwrf2QBPB63IXHaLAE",
		"d":"`+plantedD+`"}`), &key)
	if err != nil {
		panic(err)
	}
	return key
}

// wantNoZeroField fails when a field is added and fullRecord does not set it.
func wantNoZeroField(t *testing.T, v any) {
	t.Helper()
	for field, value := range reflect.ValueOf(v).Fields() {
		// Version is the Store's, and IDTokenError is not stored.
		if value.IsZero() && field.Name != "Version" && field.Name != "IDTokenError" {
			t.Errorf("fullRecord does not set %s", field.Name)
		}
	}
}

// A record that was sealed elsewhere, by these rules, opens: AES-256-GCM, under
// the HKDF-SHA256 of the key with the label and the name, with the other label
// and the name as additional data.
func TestSealedFormatStaysReadable(t *testing.T) {
	key, err := tokenstore.ParseKey(knownKey)
	if err != nil {
		t.Fatal(err)
	}
	f := openFile(t, testdir.New(t))
	writeFile(t, filepath.Join(f.Dir(), "%5ao%c3%ab%2fdefault.json"), knownSealed, 0o600)
	got := mustGet(t, newSealed(f, key), knownName)
	if !reflect.DeepEqual(*got, knownRecord) {
		t.Errorf("got %#v", got)
	}
}

func TestEqualRecordsAreSealedDifferently(t *testing.T) {
	inner := new(tokenstore.Memory)
	s := newSealed(inner, tokenstore.NewKey())
	seen := make(map[string]bool)
	for _, name := range []string{"a", "b", "c"} {
		mustSet(t, s, name, &tokenstore.Record{Tokens: newPair("same")})
		data := readEnvelope(t, inner, name).Data
		for _, part := range []string{string(data[:12]), string(data[12:28])} {
			if seen[part] {
				t.Errorf("two sealed records have the same nonce or the same beginning")
			}
			seen[part] = true
		}
	}
}

func TestPlantedSecretIsNowhereToBeSeen(t *testing.T) {
	f := openFile(t, testdir.New(t))
	key := tokenstore.NewKey()
	s := newSealed(f, key)
	rec := fullRecord()
	rec.Version = mustSet(t, s, "default", rec)
	mustSet(t, s, "default", rec) // an old version no longer lies about

	var seen strings.Builder
	for _, path := range glob(t, f.Dir(), "*") {
		fmt.Fprintln(&seen, readFile(t, path))
	}
	mustGet(t, s, "default")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&seen, verb+verb+"\n", s, struct{ s *tokenstore.Sealed }{s})
	}
	log := slog.New(slog.NewJSONHandler(&seen, nil))
	log.Info("x", "store", s, "inside", struct{ S *tokenstore.Sealed }{s})

	_, conflict := s.Set(t.Context(), "default", rec)
	bad := fullRecord()
	bad.Tokens.IDToken = "planted\xff"
	_, unwritable := s.Set(t.Context(), "new", bad)
	_, wrong := newSealed(f, tokenstore.NewKey()).Get(t.Context(), "default")
	mustSet(t, f, "plain", fullRecord())
	_, plain := s.Get(t.Context(), "plain")
	for _, err := range []error{conflict, unwritable, wrong, plain, s.Delete(t.Context(), "default", 1)} {
		if err == nil {
			t.Errorf("a call that must fail did not")
		}
		fmt.Fprintf(&seen, "%v %+v %#v\n", err, err, err)
	}
	seen.WriteString(printKeys(key))
	for _, secret := range append(spellings(t, key), "planted", plantedD, "706c616e746564", "refresh_token", "from_the_future") {
		if strings.Contains(seen.String(), secret) {
			t.Errorf("%q is to be seen in: %s", secret, seen.String())
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%d"} {
		if got := fmt.Sprintf(verb, s); got != "tokenstore.Sealed{*tokenstore.File}" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

// A sealed record has no tokens to see. That must not make it look spent to a
// program that opens the store beneath.
func TestCleanupOfTheStoreBeneathLeavesSealedSessionsAlone(t *testing.T) {
	for _, inner := range []interface {
		tokenstore.Store
		tokenstore.Lister
	}{openFile(t, testdir.New(t)), new(tokenstore.Memory)} {
		s := newSealed(inner, tokenstore.NewKey())
		mustSet(t, s, "default", &tokenstore.Record{Tokens: newPair("a")})
		mustSet(t, s, strings.Repeat("Long", 100), &tokenstore.Record{Tokens: newPair("a")})
		if n, err := inner.Cleanup(t.Context()); n != 0 || err != nil {
			t.Errorf("%T: Cleanup removed %d sessions, %v; want none", inner, n, err)
		}
		mustGet(t, s, "default")
	}
}

func TestSpentLeavesRecordsOfOthersAlone(t *testing.T) {
	now := time.Now()
	if rec := (&tokenstore.Record{Unknown: map[string]json.RawMessage{"sealed": nil}}); rec.Spent(now) {
		t.Errorf("a record without tokens that has unknown fields counts as spent")
	}
	rec := spentRecord()
	rec.Unknown = map[string]json.RawMessage{"from_the_future": json.RawMessage(`1`)}
	if !rec.Spent(now) || !new(tokenstore.Record).Spent(now) {
		t.Errorf("a record that is ours to judge does not count as spent")
	}
}

func TestSealedLockIsTheLockBeneath(t *testing.T) {
	inner := new(tokenstore.Memory)
	s := newSealed(inner, tokenstore.NewKey())
	lease, err := s.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := inner.Lock(ctx, "default"); !errors.Is(err, tokenstore.ErrLocked) {
		t.Errorf("the lock beneath is free: %v", err)
	}
	if err := lease.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestCleanupStopsWhenItsContextEnds(t *testing.T) {
	inner := new(tokenstore.Memory)
	s := newSealed(inner, tokenstore.NewKey())
	mustSet(t, s, "default", spentRecord())
	lease, err := inner.Lock(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lease.Unlock() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if n, err := s.Cleanup(ctx); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Cleanup: %d, %v; want the context's error", n, err)
	}
}

// A sluggish store takes longer to say whether a lock is free than Cleanup waits at first.
type sluggish struct{ tokenstore.Memory }

func (s *sluggish) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	select {
	case <-time.After(time.Second):
		return s.Memory.Lock(ctx, name)
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", tokenstore.ErrUnavailable, ctx.Err())
	}
}

func TestCleanupGivesASlowStoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSealed(new(sluggish), tokenstore.NewKey())
		mustSet(t, s, "default", spentRecord())
		if n, err := s.Cleanup(t.Context()); n != 1 || err != nil {
			t.Errorf("Cleanup: %d, %v; want 1", n, err)
		}
	})
}

func newSealed(inner tokenstore.Store, keys ...tokenstore.Key) *tokenstore.Sealed {
	return tokenstore.NewSealed(inner, tokenstore.Keys(keys...))
}

// spentRecord returns a record that nothing can renew.
func spentRecord() *tokenstore.Record {
	return &tokenstore.Record{Tokens: &oauth.TokenPair{AccessToken: "a", ExpiresAt: time.Now().Add(-time.Hour)}}
}

// wantAllSealed requires that nothing lies in the store in the clear.
func wantAllSealed(t *testing.T, inner interface {
	tokenstore.Store
	tokenstore.RecordLister
}) {
	t.Helper()
	names, err := inner.Records(context.Background())
	if err != nil {
		t.Error(err)
	}
	for _, name := range names {
		rec, err := inner.Get(context.Background(), name)
		if err != nil || rec.Tokens != nil || len(rec.Unknown) != 1 {
			t.Errorf("session %q lies in the store as %v, %v", name, rec, err)
		}
	}
}
