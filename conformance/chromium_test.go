package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// startChromium returns the browser of all tests, which starts with the first of
// them. It reaches 127.0.0.1 and nothing else: names do not resolve.
var startChromium = sync.OnceValues(func() (context.Context, error) {
	path := findChromium()
	if path == "" {
		return nil, nil
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // Chromium refuses to run as root otherwise
		chromedp.DisableGPU,
		chromedp.Env("DBUS_SESSION_BUS_ADDRESS=disabled:"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
	)
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	atEnd(func() {
		limit, cancel := context.WithTimeout(ctx, stepLimit)
		defer cancel()
		_ = chromedp.Cancel(limit)
		release()
	})
	// The browser lives as long as the context of the first call, which therefore
	// has no limit.
	return ctx, chromedp.Do(ctx)
})

// findChromium returns the browser to test with, or "".
func findChromium() string {
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// A tab is a browser tab.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex // guards complaints
	complaints []string   // what the console says against our pages
}

// newTab opens a tab for somebody who was never here before: tabs share no
// cookies. It closes with the test.
func newTab(t *testing.T) *tab {
	t.Helper()
	browser, err := startChromium()
	switch {
	case err != nil:
		t.Fatalf("Chromium did not start: %v", err)
	case browser == nil:
		missing(t, "there is no Chromium")
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	p := &tab{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1000, 700)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range messages {
			if err != nil {
				return
			}
			p.complain(m)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return p
}

// complain notes what the console says, which is mostly about policies broken.
// That a page has an error status is on purpose, and told there as well.
func (p *tab) complain(m chromedp.ConsoleMessage) {
	text := m.String()
	if strings.Contains(text, "Failed to load resource: the server responded with a status of 4") ||
		strings.Contains(text, "Failed to load resource: the server responded with a status of 5") {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complaints = append(p.complaints, text)
}

// quiet fails the test if the browser has complained about a page.
func (p *tab) quiet() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.complaints) > 0 {
		p.t.Errorf("the browser complained:\n%s", strings.Join(p.complaints, "\n"))
	}
}

// do carries out steps, all of them within stepLimit.
func (p *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepLimit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v\nthe page is:\n%s", what, err, p.text())
	}
}

// eval returns what a JavaScript expression is on the page.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, stepLimit)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("evaluating %.60q: %v", expression, err)
	}
	return value
}

// text returns the text on the page, for messages. It does not fail the test.
func (p *tab) text() string {
	ctx, cancel := context.WithTimeout(p.ctx, time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.title + "\n" + document.body.innerText`))
	if err != nil {
		return "(not to be had: " + err.Error() + ")"
	}
	return text
}

// open goes to a URL.
func (p *tab) open(url string) {
	p.t.Helper()
	p.do("opening a page", chromedp.Navigate(url))
}

// fill types text into the field that the selector finds, instead of what is
// there. It does not use chromedp.SendKeys, which reads a node's attributes while
// chromedp changes them (seen with v0.22.1 by the race detector).
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.do("looking for "+selector, visible(selector), loaded)
	if !eval[bool](p, fmt.Sprintf("{ const e = document.querySelector(%q); e.focus(); e.select(); document.activeElement === e }", selector)) {
		p.t.Fatalf("%s does not take the focus", selector)
	}
	p.press(text)
}

// click clicks what the selector finds.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.do("clicking "+selector, visible(selector), loaded, chromedp.Click(chromedp.CSS(selector)))
}

// press types keys, wherever the focus is.
func (p *tab) press(keys string) {
	p.t.Helper()
	p.do("typing", chromedp.KeyEvent(keys))
}

// headed waits for a page with this heading.
func (p *tab) headed(heading string) {
	p.t.Helper()
	p.do(fmt.Sprintf("waiting for the page %q", heading),
		chromedp.WaitVisible(chromedp.Search(fmt.Sprintf("//h1[normalize-space()=%q]", heading))), loaded)
}

// size makes the window as wide and high as given. Narrow ones are telephones,
// which heed a page's viewport declaration.
func (p *tab) size(width, height int64) {
	p.t.Helper()
	var options []chromedp.EmulateViewportOption
	if width < 500 {
		options = append(options, chromedp.EmulateMobile)
	}
	p.do("resizing", chromedp.EmulateViewport(width, height, options...))
}

// scheme makes the person one who likes "light" or "dark" pages.
func (p *tab) scheme(name string) {
	p.t.Helper()
	p.do("choosing colours", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		feature := map[string]string{"name": "prefers-color-scheme", "value": name}
		params := map[string]any{"features": []any{feature}}
		var ignored json.RawMessage
		return target.Call(ctx, "Emulation.setEmulatedMedia", params, &ignored)
	}))
}

// shot saves a picture of the page if somebody wants to see it.
func (p *tab) shot(name string) {
	p.t.Helper()
	dir := os.Getenv("CONFORMANCE_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, stepLimit)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// focused waits until the field that the selector finds has the focus.
func (p *tab) focused(selector string) {
	p.t.Helper()
	p.do("waiting for the focus", until(fmt.Sprintf("document.activeElement === document.querySelector(%q)", selector)))
}

// visible waits for what the selector finds.
func visible(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(chromedp.CSS(selector))
}

// loaded waits until the page is there with its style sheet, which moves things.
var loaded = until(`document.readyState === "complete"`)

// until waits for a JavaScript expression to be true, on a page that stays.
func until(expression string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Poll[bool](expression)(ctx, t)
		return chromedp.Void{}, err
	}
}
