package tokenstore_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/evertoken/evertoken/internal/taint"
	"github.com/evertoken/evertoken/internal/testdir"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// withoutSecrets are the types that have none, and why.
var withoutSecrets = map[string]string{
	"tokenstore.Change": "a name and a version", "tokenstore.Mark": "times, and the hash of a token", "tokenstore.File": "the name of a directory",
	"tokenstore.PlaceError": "what the system says of a directory", "tokenstore.Key": "a function, out of whose reach nothing gets it; it is printed here all the same",
}

// taintedRecord is a record with a secret wherever one can be.
func taintedRecord(b *taint.Book) *tokenstore.Record {
	for _, what := range []string{"access", "refresh", "id", "extra", "unknown"} {
		b.Secret(what, "s3cret-"+what)
	}
	return &tokenstore.Record{
		Tokens:  &oauth.TokenPair{AccessToken: "s3cret-access", RefreshToken: "s3cret-refresh", IDToken: "s3cret-id", Extra: map[string]json.RawMessage{"x": json.RawMessage(`"s3cret-extra"`)}},
		Unknown: map[string]json.RawMessage{"x": json.RawMessage(`"s3cret-unknown"`)},
	}
}

// Each type of this package is here that a program can hold a secret in.
func TestLaw8_EveryTypeThatHoldsASecretPrintsWithoutIt(t *testing.T) {
	b := new(taint.Book)
	rec := taintedRecord(b)
	b.Print("record", rec, *rec)
	entry := tokenstore.Entry{Name: "default", Record: rec}
	b.Print("entry", entry, &entry)
	key := tokenstore.NewKey()
	raw, err := base64.StdEncoding.DecodeString(key.Encode())
	if err != nil {
		t.Fatal(err)
	}
	b.Secret("key", key.Encode())
	b.Secret("key's bytes", string(raw))
	b.Print("key", key, &key)
	memory := new(tokenstore.Memory)
	if _, err := memory.Set(t.Context(), "default", rec); err != nil {
		t.Fatal(err)
	}
	sealed := tokenstore.NewSealed(memory, tokenstore.Keys(key))
	b.Print("stores", memory, sealed)
	b.Check(t, 6, 4)
	b.CheckTypes(t, "../api/tokenstore.txt", withoutSecrets)
}

// Records that cannot be read, or are not what they should be, are told of without their text.
func TestLaw8_StoresErrorsShowNothingOfWhatIsStored(t *testing.T) {
	b := new(taint.Book)
	whole, err := json.Marshal(taintedRecord(b))
	if err != nil {
		t.Fatal(err)
	}
	key := tokenstore.NewKey()
	b.Secret("key", key.Encode())
	for name, data := range map[string]string{
		"cut": string(whole[:len(whole)-3]), "no JSON": "s3cret-access s3cret-refresh", "another type": `"s3cret-access"`, "a wrong type": `{"format":1,"version":"s3cret-access","tokens":"s3cret-refresh"}`,
		"a newer format": `{"format":99,"s3cret-access":"s3cret-refresh"}`, "a name": `{"format":1,"s3cret-unknown":`, "a number": `{"format":1,"tokens":{"expires_in":"s3cret-extra","access_token":["s3cret-access"]}}`,
		"in the clear": string(whole),
	} {
		dir := testdir.New(t)
		file, err := tokenstore.NewFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		sealed := tokenstore.NewSealed(file, tokenstore.Keys(key))
		for _, store := range []tokenstore.Store{file, sealed} {
			if err := os.WriteFile(filepath.Join(dir, "default.json"), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			rec, err := store.Get(t.Context(), "default")
			if err == nil && name != "in the clear" && name != "a number" {
				t.Errorf("%s is read", name)
			}
			b.Print(name, rec)
			b.PrintError(name, err)
			_, err = store.Set(t.Context(), "default", &tokenstore.Record{Version: 7, Tokens: &oauth.TokenPair{AccessToken: "s3cret-access"}})
			b.PrintError(name, err)
			b.PrintError(name, store.Delete(t.Context(), "default", 7))
			if lister, is := store.(tokenstore.Lister); is {
				_, err := lister.Cleanup(t.Context())
				b.PrintError(name, errors.Join(err))
			}
		}
	}
	b.Check(t, 6, 16)
}
