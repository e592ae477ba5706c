package storetest_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/tokenstore"
	"github.com/evertoken/evertoken/tokenstore/storetest"
)

func TestMemoryPasses(t *testing.T) {
	storetest.Run(t, func(*testing.T) tokenstore.Store { return new(tokenstore.Memory) })
}

func TestStoreOfThreeMethodsPasses(t *testing.T) {
	storetest.Run(t, func(*testing.T) tokenstore.Store {
		return struct{ tokenstore.Store }{new(tokenstore.Memory)} // neither Locker nor Lister
	})
}

// helperEnv makes a test run the suite on a broken store, in a process of its
// own: failing is what it is for.
const helperEnv = "EVERTOKEN_STORETEST_BROKEN"

func TestEachBrokenStoreFailsTheRuleItBreaks(t *testing.T) {
	if os.Getenv(helperEnv) != "" {
		return // this is the process with the broken stores
	}
	stores := allBroken()
	var out string
	passed := func() (all []string) {
		for name, b := range stores {
			for _, test := range b.fails {
				if !strings.Contains(out, "--- FAIL: TestHelperBrokenStores/"+name+"/"+test+" ") {
					all = append(all, fmt.Sprintf("a store that %s passed %s", strings.ReplaceAll(name, "_", " "), test))
				}
			}
		}
		return all
	}
	// Some mistakes show only where goroutines meet, which they need not do each time.
	for range 3 {
		if out += runHelper(t, "^TestHelperBrokenStores$", "all"); len(passed()) == 0 {
			break
		}
	}
	for _, said := range passed() {
		t.Error(said)
	}
	if n := strings.Count(out, "\trule: "); n < len(stores) {
		t.Errorf("%d rules were quoted for %d broken stores", n, len(stores))
	}
}

func TestStoreThatHangsPanicsWithTheRule(t *testing.T) {
	if os.Getenv(helperEnv) != "" {
		return // this is the process with the broken stores
	}
	out := runHelper(t, "^TestHelperHangingStore$/^Locker$/^LockWaitsUntilItsContextEnds$", "hang")
	if !strings.Contains(out, "did not return when its context ended") || !strings.Contains(out, "rule: Lock of a held lock fails") {
		t.Errorf("a store that hangs was not reported; output:\n%s", out)
	}
}

// allBroken returns the stores of broken_test.go and those of broken_shared_test.go.
func allBroken() map[string]broken {
	all := maps.Clone(brokenStores)
	maps.Copy(all, brokenShared)
	return all
}

func TestHelperBrokenStores(t *testing.T) {
	if os.Getenv(helperEnv) != "all" {
		return // only a helper of TestEachBrokenStoreFailsTheRuleItBreaks
	}
	for name, b := range allBroken() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// None of them hangs, however long they wait for the processor.
			opts := []storetest.Option{storetest.Reopen(b.reopen), storetest.Grace(10 * time.Minute)}
			if b.blocks {
				opts = append(opts, storetest.Patience(300*time.Millisecond))
			}
			storetest.Run(t, func(*testing.T) tokenstore.Store { return b.store() }, opts...)
		})
	}
}

func TestHelperHangingStore(t *testing.T) {
	if os.Getenv(helperEnv) != "hang" {
		return // only a helper of TestStoreThatHangsPanicsWithTheRule
	}
	storetest.Run(t, func(*testing.T) tokenstore.Store { return new(hangs) }, storetest.Patience(300*time.Millisecond), storetest.Grace(100*time.Millisecond))
}

// runHelper runs the test of this binary that matches, which must fail, and returns its output.
func runHelper(t *testing.T, test, mode string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+test, "-test.v", "-test.parallel=16", "-test.timeout=20m")
	cmd.Env = append(os.Environ(), helperEnv+"="+mode)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("%s passed; it must fail", test)
	}
	return string(out)
}

func TestFixtureSetsEveryField(t *testing.T) {
	rec := storetest.Full()
	for _, v := range []any{*rec, *rec.Tokens, *rec.Pending, *rec.Refused, *rec.Dead} {
		v := reflect.ValueOf(v)
		for i := range v.NumField() {
			// Version is the Store's, and IDTokenError is not stored.
			if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Version" && name != "IDTokenError" {
				t.Errorf("the suite's full record does not set %v.%s, so its loss would not be seen", v.Type(), name)
			}
		}
	}
}

func TestDiffSeesEveryChange(t *testing.T) {
	if fields := storetest.Diff(storetest.Full(), storetest.Full()); len(fields) > 0 {
		t.Errorf("two equal records differ in %v", fields)
	}
	count := 0
	change := func(zero func(rec *tokenstore.Record) (string, bool)) {
		rec := storetest.Full()
		name, ok := zero(rec)
		if !ok {
			return
		}
		count++
		if got := storetest.Diff(rec, storetest.Full()); fmt.Sprint(got) != "["+name+"]" {
			t.Errorf("a record without %s differs in %v", name, got)
		}
	}
	for i := range reflect.TypeFor[tokenstore.Record]().NumField() {
		change(func(rec *tokenstore.Record) (string, bool) {
			f := reflect.ValueOf(rec).Elem()
			was := f.Field(i).IsZero()
			f.Field(i).SetZero()
			return f.Type().Field(i).Name, !was
		})
	}
	for i := range reflect.TypeOf(storetest.Full().Tokens).Elem().NumField() {
		change(func(rec *tokenstore.Record) (string, bool) {
			f := reflect.ValueOf(rec.Tokens).Elem()
			was := f.Field(i).IsZero()
			f.Field(i).SetZero()
			return "Tokens." + f.Type().Field(i).Name, !was
		})
	}
	if count < 18 {
		t.Errorf("only %d fields were tried", count)
	}
}
