package oauth

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestFormsAreEncodedAsNetURLEncodesThem(t *testing.T) {
	for _, form := range []url.Values{
		nil,
		{"a": nil},
		{"refresh_token": {"r"}, "grant_type": {"refresh_token"}, "client_id": {"c"}},
		{"resource": {"https://b.test/?x=1&y", "", "https://a.test/ü %"}, "a b": {"+", "\x00\xff"}, "": {""}},
		{"1": {"1"}, "2": {"2"}, "3": {"3"}, "4": {"4"}, "5": {"5"}, "6": {"6"}, "7": {"7"}, "8": {"8"}, "9": {"9"},
			"q": {"q"}, "w": {"w"}, "e": {"e"}, "r": {"r"}, "t": {"t"}, "y": {"y"}, "u": {"u"}, "i": {"i"}, "o": {"o"}},
	} {
		if got, want := encodeForm(form), form.Encode(); got != want {
			t.Errorf("got %q; net/url says %q", got, want)
		}
	}
}

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
	answered, fail := judge(answer{op: opRefresh, status: 200, body: body, whole: true, received: time.Now()})
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

func TestARefreshCostsFewAllocations(t *testing.T) {
	c := NewClient(Config{ClientID: "id", TokenURL: "https://auth.test/token", HTTPClient: answering(
		`{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r","scope":"s"}`)})
	pair := &TokenPair{AccessToken: "a", RefreshToken: "r"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	n := testing.AllocsPerRun(100, func() {
		if _, err := c.Refresh(ctx, pair); err != nil {
			t.Fatal(err)
		}
	})
	if n > 40 { // 35, and a few for the toolchain to come
		t.Errorf("%v allocations", n)
	}
}

// answering is a client whose server always gives the same answer.
func answering(body string) *http.Client {
	return &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
