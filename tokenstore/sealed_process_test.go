package tokenstore_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/tokenstore"
)

// keysEnv holds, for helper processes, what each call of their KeyFunc returns:
// keys separated by spaces, calls by commas. Further calls fail.
const keysEnv = "EVERTOKEN_TOKENSTORE_KEYS"

func init() { helpers["count-sealed"] = countSealed }

// countSealed counts up a number in a sealed session, under its lock. Before, it
// reads another one, and so keeps the keys of that time.
func countSealed(ctx context.Context, f *tokenstore.File) error {
	s := tokenstore.NewSealed(f, keysFromEnv())
	if _, err := s.Get(ctx, "earlier"); err != nil {
		return err
	}
	return teststore.CountLocked(ctx, s, "default", countEach)
}

func keysFromEnv() tokenstore.KeyFunc {
	calls := strings.Split(os.Getenv(keysEnv), ",")
	return func(context.Context) ([]tokenstore.Key, error) {
		if len(calls) == 0 {
			return nil, errors.New("the keys were asked for once too often")
		}
		var keys []tokenstore.Key
		for text := range strings.FieldsSeq(calls[0]) {
			key, err := tokenstore.ParseKey(text)
			if err != nil {
				return nil, err
			}
			keys = append(keys, key)
		}
		calls = calls[1:]
		return keys, nil
	}
}

// Half of the processes have started before the key was changed. They lose no
// update, and change to the new key as soon as they meet it.
func TestProcessesAgreeOnANewKey(t *testing.T) {
	f := openFile(t, testdir.New(t))
	older, newer := tokenstore.NewKey(), tokenstore.NewKey()
	mustSet(t, newSealed(f, older), "default", &tokenstore.Record{Tokens: newPair("a"), RefreshedBy: "0"})
	mustSet(t, newSealed(f, older), "earlier", &tokenstore.Record{Tokens: newPair("a")})
	rotated := newer.Encode() + " " + older.Encode()
	var processes []*process
	for i := range countProcesses {
		keys := rotated
		if i%2 == 0 {
			keys = older.Encode() + "," + rotated
		}
		t.Setenv(keysEnv, keys)
		processes = append(processes, startHelper(t, "count-sealed", f.Dir()))
	}
	for _, p := range processes {
		if err := p.Wait(); err != nil {
			t.Errorf("process: %v: %s", err, p.stderr)
		}
	}
	rec := mustGet(t, newSealed(f, newer), "default") // the old key can go
	if got, want := rec.RefreshedBy, strconv.Itoa(countProcesses*countEach); got != want {
		t.Errorf("%d processes counted to %s; want %s", countProcesses, got, want)
	}
}
