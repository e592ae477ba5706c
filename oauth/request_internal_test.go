package oauth

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// What is kept of an answer must not keep the rest of it, nor change with the
// memory it came in.
func TestExtraFieldsHaveMemoryOfTheirOwn(t *testing.T) {
	body := []byte(`{"access_token":"a","team":"red","realm_id":7}`)
	stored := new(TokenPair)
	if err := json.Unmarshal(body, stored); err != nil {
		t.Fatal(err)
	}
	direct := new(TokenPair)
	if err := direct.UnmarshalJSON(body); err != nil {
		t.Fatal(err)
	}
	answered, fail := judge(&wire.Answer{Op: opRefresh, Status: 200, Body: body, Whole: true, Received: time.Now()})
	if fail != nil {
		t.Fatal(fail)
	}
	for i := range body {
		body[i] = 'x'
	}
	for name, pair := range map[string]*TokenPair{"stored": stored, "read directly": direct, "answered": answered} {
		if string(pair.Extra["team"]) != `"red"` || string(pair.Extra["realm_id"]) != "7" || pair.AccessToken != "a" {
			t.Errorf("%s: extra fields %s changed with the body", name, pair.Extra)
		}
	}
}
