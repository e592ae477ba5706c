package storetest

import (
	"fmt"
	"strings"

	"github.com/evertoken/evertoken/tokenstore"
)

// oddNames are valid names that stores have been seen to stumble over.
var oddNames = []string{
	"default", "alice@corp.example", "work/alice", "a/b/c", `a\b`,
	// Paths that lead elsewhere.
	".", "..", "../x", "x", "/etc/x", `..\x`, "C:x", "~", "~/x", ".hidden",
	// Case, and characters with two spellings.
	"Alice", "alice", "ALICE", "straße", "strasse", "\u00e9", "e\u0301", "İ", "ı",
	// Names and endings that mean something to Windows.
	"CON", "con", "con.txt", "nul", "com1", "LPT9.json", "trailing.", "trailing", "trailing ", " leading",
	// Separators, patterns, quotes and escapes.
	" ", "a b", "a:b", "a*", "a?", "[a]", "{a}", `"a"`, "'a'", "<a>", "a|b", "a\tb", "a\nb", "\x7f", "$a", "a;b", "-rf",
	"%", "%41", "A", "%2e%2e", "%-", "a%00b", "a,b", "#a", "=a",
	// What means something to directories of users (LDAP), to SQL, shells, Redis and templates.
	"*", "*)(uid=*))(|(uid=*", `a\2a`, "cn=alice,dc=corp", "a=b+c=d", "'; DROP TABLE x; --", "$(id)", "`id`", "${HOME}", "%s%n", "{{.}}", "{default}", "a}b", "h?llo", "[^a]",
	// What terminals and lists of text take for something else.
	"a\rb", "a\r\n", "\x1b[31mred", "\u0085", "\u009b31m", "\u2028", "\ufeffa", "\u200b", "a\u200bb", "ab", "\u202ealice", "\u2066alice\u2069", "\u00adalice", "alice\u00a0",
	// Characters that look alike, or that some comparisons and normal forms take for one.
	"\u0430lice", "\uff21lice", "\u212b", "\u00c5", "A\u030a", "\ufb00", "ff", "\u017f", "s", "\u212a", "k", "\u2126", "\u03a9", "\u1e9b\u0323", "\u1e9b", "\uac00", "\u1100\u1161", "q\u0307\u0323", "q\u0323\u0307", "\ufffd", "ǆ", "ǅ", "Σ", "σ", "ς",
	// Endings of our own files.
	"a.json", "a", "a.lock", "a.json.lock", "a.write", "a.tmp-1", "a.json.tmp-1", "a.damaged-1",
	// Other scripts, and lengths up to the limit.
	"日本語", "🙂", strings.Repeat("n", 100), strings.Repeat("n", 255), strings.Repeat("N", 200),
	strings.Repeat("n", 512), strings.Repeat("n", 511) + "m", strings.Repeat("é", 256), strings.Repeat("/", 512),
}

// badNames are names that no store accepts.
var badNames = map[string]string{
	"an empty name":                 "",
	"a name of 513 bytes":           strings.Repeat("n", 513),
	"a name that is not UTF-8":      "a\xffb",
	"a name cut within a character": "\xc3",
	"a name with NUL":               "a\x00b",
}

var nameTests = []test{
	{
		"EveryValidNameIsASessionOfItsOwn",
		"any non-empty valid UTF-8 string of at most 512 bytes without NUL names a session, and no two names the same one",
		func(c *check) {
			versions := make(map[string]uint64)
			for i, name := range oddNames {
				versions[name] = c.set(name, record(fmt.Sprint(i)))
			}
			for i, name := range oddNames {
				got := c.get(name)
				if got.Version != versions[name] || got.Tokens.AccessToken != pair(fmt.Sprint(i)).AccessToken {
					c.Errorf("session %q holds another session's record", name)
				}
			}
			for _, name := range oddNames {
				if err := c.store.Delete(c.ctx, name, versions[name]); err != nil {
					c.Errorf("Delete(%q): %v", name, err)
				}
				c.wantAbsent(name)
			}
		},
	},
	{
		"InvalidNamesAreRefused",
		"every method refuses an invalid name with ErrInvalidName (CheckName)",
		func(c *check) {
			for what, name := range badNames {
				_, err := c.store.Get(c.ctx, name)
				c.wantErr("Get with "+what, err, tokenstore.ErrInvalidName)
				_, err = c.store.Set(c.ctx, name, record("1"))
				c.wantErr("Set with "+what, err, tokenstore.ErrInvalidName)
				c.wantErr("Delete with "+what, c.store.Delete(c.ctx, name, 1), tokenstore.ErrInvalidName)
				if l, ok := c.store.(tokenstore.Locker); ok {
					_, err = l.Lock(c.ctx, name)
					c.wantErr("Lock with "+what, err, tokenstore.ErrInvalidName)
				}
			}
		},
	},
}
