package conformance

import (
	_ "embed"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// accessibilityJS finds what keeps people from using a page. Its value is a list
// of strings.
//
//go:embed accessibility.js
var accessibilityJS string

// usable checks the page as it looks on a desk and on a telephone of 360 pixels,
// in light and in dark, and saves pictures of it under the name.
func (p *tab) usable(name string) {
	p.t.Helper()
	for _, v := range []struct {
		name          string
		width, height int64
		scheme        string
	}{
		{"wide-light", 1000, 700, "light"},
		{"wide-dark", 1000, 700, "dark"},
		{"narrow-light", 360, 640, "light"},
		{"narrow-dark", 360, 640, "dark"},
	} {
		p.size(v.width, v.height)
		p.scheme(v.scheme)
		if found := eval[[]string](p, accessibilityJS); len(found) > 0 {
			p.t.Errorf("page %s, %s:\n  %s", name, v.name, strings.Join(found, "\n  "))
		}
		p.shot(name + "-" + v.name)
	}
	p.size(1000, 700)
	p.scheme("light")
}

func TestAccessibilityCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
		_, _ = w.Write([]byte(`<!DOCTYPE html><html><meta name="viewport" content="user-scalable=no">
			<h1></h1><h1>Two</h1><h3>Deep</h3><img src="data:,"><button style="height: 5px; padding: 0"></button>
			<input id="i" aria-describedby="nothing" style="border: 1px solid #eee"><p id="i" style="color: #999; background: #eee">Pale</p>
			<p style="font-size: 6px">Small</p><div style="width: 3000px">Wide</div></html>`))
	}))
	defer bad.Close()
	page := newTab(t)
	page.open(bad.URL)
	found := strings.Join(eval[[]string](page, accessibilityJS), "\n")
	for _, want := range []string{
		"language", "no title", "encoding", "2 h1 headings", "main landmark", "telephones", "magnified", "pixels wide",
		"heading is empty", "H3 comes after H1", "used twice", "#nothing", "no label", "filled in", "no text (4.1.2)",
		"an image", "too small to hit", "text of #i has a contrast", "6 pixels high", "border of #i",
	} {
		if !strings.Contains(found, want) {
			t.Errorf("nothing found about %q in:\n%s", want, found)
		}
	}
}
