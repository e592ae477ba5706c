package notice_test

import (
	"strings"
	"testing"

	"github.com/evertoken/evertoken/internal/notice"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestNoticesAreReadAsTheyWereWritten(t *testing.T) {
	mark := &tokenstore.Mark{Token: "t"}
	for what, tt := range map[string]struct {
		rec   tokenstore.Record
		begun bool
	}{
		"a new record":             {tokenstore.Record{}, false},
		"a new one with a mark":    {tokenstore.Record{Pending: mark}, false},
		"a save":                   {tokenstore.Record{Version: 1}, false},
		"an announcement":          {tokenstore.Record{Version: 1, Pending: mark}, true},
		"a death amid a spend":     {tokenstore.Record{Version: 1, Pending: mark, Dead: mark}, false},
		"a refusal after a spend":  {tokenstore.Record{Version: 1, Refused: mark}, false},
		"a spend after a refusal":  {tokenstore.Record{Version: 1, Pending: mark, Refused: mark}, true},
		"a death that is recorded": {tokenstore.Record{Version: 1, Dead: mark}, false},
	} {
		for _, name := range []string{"a", "?a", "=", "!", "é 日本", strings.Repeat("n", 512)} {
			got, tells := notice.Read(notice.Of(&tt.rec) + "1234567890123456:" + name)
			if want := (tokenstore.Change{Name: name, Begun: tt.begun, Version: 1234567890123456}); !tells || got != want {
				t.Errorf("%s: %+v, %v; want %+v", what, got, tells, want)
			}
		}
	}
}

func TestANoticeThatCannotBeReadIsAboutAnySession(t *testing.T) {
	for _, text := range []string{"", "=", "?", "a", "name", "!!", "!a", "= \x00", "=\xff", "?" + strings.Repeat("n", 513), "\xc3", "é"} {
		if got, tells := notice.Read(text); !tells || got != (tokenstore.Change{}) {
			t.Errorf("%q: %+v, %v", text, got, tells)
		}
	}
	if _, tells := notice.Read(notice.Heartbeat); tells {
		t.Error("a heartbeat is taken for news")
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range []string{"", "!", "=a", "?a", "=", "=\xff", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		change, tells := notice.Read(text)
		switch {
		case !tells && (text != notice.Heartbeat || change != tokenstore.Change{}):
			t.Errorf("%q tells nothing, and %+v", text, change)
		case change.Name == "" && change.Begun:
			t.Error("a spend of any session has begun")
		case change.Name != "" && (tokenstore.CheckName(change.Name) != nil || !strings.HasSuffix(text[1:], change.Name)):
			t.Errorf("%q is about %q", text, change.Name)
		}
	})
}
