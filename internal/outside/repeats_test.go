package outside

import "testing"

func TestTokenIsFoundInWhatRepeatsIt(t *testing.T) {
	const (
		opaque = "s3cret/+=token"
		jwt    = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.JZgpMtC7QqKRu4RItayn6v"
	)
	for text, want := range map[string]map[string]bool{
		opaque: {
			opaque: true, "more " + opaque + " more": true, "https://evil.test/s3cret%2F%2B%3Dtoken/": true, "https://evil.test/?x=s3cret%2f%2b%3dtoken": true,
			"s3cret/ +=token": true, "x s 3cret/+= token": true, "": false, "s3cret/+=toke": false, "100%": false, "%zz" + opaque: true,
		},
		jwt: {
			jwt: true, "x:eyJzdWIiOiJhbGljZSJ9": true, "JZgpMtC7QqKRu4RItayn6v more": true,
			"eyJhbGciOiJFUzI1NiJ9": false, // says the algorithm alone
			"eyJzdWIiOiJh":         false,
		},
		"a.b.c": {"a.b.c": true, "b": false, "c": false},
		"":      {"": false, "x": false},
	} {
		for said, repeats := range want {
			if got := Repeats(said, text); got != repeats {
				t.Errorf("%q has %q: %v; want %v", said, text, got, repeats)
			}
		}
	}
}
