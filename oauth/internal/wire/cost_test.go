package wire

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/internal/costmeter"
)

// bombs are pieces that answers consist of whose server wants to cost something.
var bombs = map[string]struct{ begin, piece, end string }{
	"spaces":             {"", " ", `{"a":1}`},
	"open arrays":        {"", "[", ""},
	"open objects":       {"", `{"a":`, ""},
	"arrays":             {`{"error":`, "[", ""},
	"closed arrays":      {`{"a":[`, "[],", `0]}`},
	"members":            {"{", `"a":1,`, `"b":2}`},
	"members unclosed":   {"{", `"a":1,`, ""},
	"members named once": {"{", `"\u0061":{},`, `"error":"x"}`},
	"strings":            {`["`, `","`, `"]`},
	"quotes":             {"", `"`, ""},
	"backslashes":        {`{"error":"`, `\\`, `"}`},
	"escapes":            {`{"error":"`, `\u0041`, `"}`},
	"surrogates":         {`{"access_token":"`, `\ud800`, `"}`},
	"comments":           {"", "/**/", "{}"},
	"open comments":      {"{", "/*", ""},
	"slashes":            {"{", "//\n", "}"},
	"commas":             {"{", ",", "}"},
	"colons":             {`{"a"`, ":", "1}"},
	"numbers":            {`{"expires_in":`, "9", "}"},
	"digits apart":       {`{"scope":[`, "1,", "2]}"},
	"form":               {"", "a=b&", "access_token=x"},
	"percent":            {"error=", "%41", ""},
	"markup":             {"", "<a>", "{}"},
	"JSON in JSON":       {`"`, `{\"a\":`, `"`},
	"entities":           {`{"error":"`, "&lt;", `"}`},
	"nested errors":      {`{"errors":[`, `{"code":"x","message":"timeout"},`, `{}]}`},
	"scopes":             {`{"access_token":"a","scope":"`, "a ", `"}`},
	"dots":               {`{"access_token":"`, ".", `"}`},
	"JWT parts":          {`{"access_token":"e30.`, "eyJ9", `.x"}`},
	"not UTF-8":          {`{"error":"`, "\xff", `"}`},
}

// What an answer can cost grows with its length and no faster: the pieces are repeated up to
// a quarter of the limit on bodies, and up to a sixteenth of it. A cost that grew with the
// square of the length would be a hundred times too high there.
func TestF93_AnswerCostsNoMoreThanItsLength(t *testing.T) {
	for name, bomb := range bombs {
		for _, tt := range []struct {
			size, status int
			kind         string
		}{
			{maxBody / 4, http.StatusOK, "application/json"},
			{maxBody / 16, http.StatusOK, "application/x-www-form-urlencoded"},
			{maxBody / 16, http.StatusBadRequest, "application/json"},
		} {
			parser := func(size int) func() {
				body := bomb.begin + strings.Repeat(bomb.piece, (size-len(bomb.begin)-len(bomb.end))/len(bomb.piece)) + bomb.end
				return func() {
					a := &Answer{Op: OpRefresh, Status: tt.status, Header: http.Header{"Content-Type": {tt.kind}}, Body: []byte(body), Whole: true, SentAt: time.Now()}
					fields := a.Fields()
					a.holdsPair()
					fail := a.Failure(fields)
					a.Miss(fail)
					_ = fail.Verdict()
				}
			}
			costmeter.Check(t, name+" as "+tt.kind, tt.size, costmeter.Limit{PerByte: 250, Fixed: 1 << 20}, parser(tt.size))
			costmeter.CheckWork(t, name+" as "+tt.kind, tt.size, parser)
		}
	}
}
