package tokenstore_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// knownSealed is a record sealed with knownKey as session knownName. Computed with
// Python's cryptography.
const (
	knownName   = "Zoë/default"
	knownSealed = `{"format":1,"version":7,"sealed":{"v":1,"key":"ea44045fbf116a51","data":"ZGVmZ2hpamtsbW5vVr7asQZN0OUmT2SF+XA2HhTmKDCNM9lWlAzL1ELQ9uKKWPhujr3UZyn8shPbZfGbMBx2tZw4P51EeeRdn8NH7hZ7MiwuoopsL21VopvV9EKmrL/M5nYNjujC/vm1QQz0Vm6Tl+tX"}}`
)

var knownRecord = tokenstore.Record{
	Version: 7, Tokens: &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}, RefreshedBy: "client",
}

// An oneRecord returns the same record under every name.
type oneRecord struct {
	tokenstore.Store
	rec tokenstore.Record
}

func (s oneRecord) Get(context.Context, string) (*tokenstore.Record, error) {
	return s.rec.Clone(), nil
}

// Whatever somebody makes of what is stored, nothing panics, and what opens is
// what was sealed, under its name.
func FuzzSealedOpen(f *testing.F) {
	key, err := tokenstore.ParseKey(knownKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(knownName, []byte(knownSealed))
	f.Add("default", []byte(knownSealed))
	f.Add(knownName, []byte(strings.Replace(knownSealed, `"v":1`, `"v":2`, 1)))
	f.Add(knownName, []byte(strings.Replace(knownSealed, `"key":`, `"KEY":1,"key":`, 1)))
	f.Add(knownName, []byte(strings.Replace(knownSealed, `"data":"ZG`, `"data":"ZG\n`, 1)))
	f.Add(knownName, []byte(strings.Replace(knownSealed, `"sealed"`, `"tokens":{"access_token":"b"},"sealed"`, 1)))
	for _, raw := range []string{`{}`, `null`, `{"v":1,"key":"ea44045fbf116a51"}`, `{"v":1,"key":"ea44045fbf116a51","data":"AAAA"}`, `[{"v":1}]`} {
		f.Add(knownName, []byte(`{"format":1,"version":7,"sealed":`+raw+`}`))
	}
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		var stored tokenstore.Record
		if stored.UnmarshalJSON(content) != nil {
			return // the store beneath would not return it
		}
		got, err := newSealed(oneRecord{rec: stored}, key).Get(t.Context(), name)
		switch {
		case err == nil:
			want := knownRecord
			want.Version = stored.Version
			if name != knownName || !reflect.DeepEqual(*got, want) {
				t.Fatalf("%s opened as session %q: %+v", content, name, got)
			}
		case got != nil:
			t.Fatalf("an error and a record")
		case !errors.Is(err, tokenstore.ErrSealed) && !errors.Is(err, tokenstore.ErrNewerFormat) && !errors.Is(err, tokenstore.ErrInvalidName):
			t.Fatalf("error %v; want ErrSealed, ErrNewerFormat or ErrInvalidName", err)
		}
	})
}
