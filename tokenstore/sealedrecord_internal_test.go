package tokenstore

import (
	"errors"
	"testing"

	"github.com/evertoken/evertoken/oauth"
)

// Name and scope are bound twice: a session's key is made of its name, and what is authenticated
// beside the content has both. Each binds by itself.
func TestWhatIsAuthenticatedTellsEverySessionOfEveryStore(t *testing.T) {
	had := make(map[string][2]string)
	for _, session := range [][2]string{
		{"", "a"}, {"", "b"}, {"", "a\x00"}, {"a", ""}, {"a", "a"}, {"a", "b"}, {"b", "a"}, {"ab", ""}, {"a\x00b", "c"}, {"a", "b\x00c"}, {"a\x00", "bc"},
		{"1:a", "b"}, {"a:1", "b"}, {"", "1:a\x00b"}, {"directory /a", "b"}, {"directory /a\x00b", "b"},
	} {
		data := string(additionalData(session[0], session[1]))
		if other, is := had[data]; is {
			t.Errorf("%q and %q are the same", session, other)
		}
		had[data] = session
	}
}

func TestKeyOfASessionOpensNoOther(t *testing.T) {
	key := NewKey()
	rec := &Record{Tokens: &oauth.TokenPair{AccessToken: "a", RefreshToken: "r"}}
	alice, err := key.aead("alice")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := key.aead("bob")
	if err != nil {
		t.Fatal(err)
	}
	content, err := rec.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	data := alice.Seal(nil, nil, content, []byte("the same"))
	if _, err := bob.Open(nil, nil, data, []byte("the same")); err == nil {
		t.Error("the key of one session opens another's")
	}
	e := envelope{sealedFormat, key.ID(), alice.Seal(nil, nil, content, additionalData("s", "bob"))}
	if _, _, err := e.open(key, "s", "alice"); !errors.Is(err, ErrSealed) {
		t.Errorf("what was sealed as another session: %v; want ErrSealed", err)
	}
}
