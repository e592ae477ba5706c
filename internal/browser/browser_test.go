package browser

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The test binary is its own browser: with browserMode set, it does as told and
// exits.
const (
	browserMode = "TEST_BROWSER_MODE" // report or fail
	reportTo    = "TEST_BROWSER_ADDR"
)

func TestMain(m *testing.M) {
	switch os.Getenv(browserMode) {
	case "report":
		_, _ = io.WriteString(os.Stdout, "chatter of a browser")
		conn, err := net.Dial("tcp", os.Getenv(reportTo))
		if err != nil {
			os.Exit(4)
		}
		_, _ = io.WriteString(conn, strings.Join(os.Args[1:], "\n"))
		_ = conn.Close()
		os.Exit(0)
	case "fail":
		os.Exit(3)
	}
	os.Exit(m.Run())
}

const address = "https://auth.test/auth?state=s&x=%73%20$(id)`id`;&"

// browserPath returns a program that acts as a browser.
func browserPath(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// reports makes browsers report to the returned function, which waits for one.
func reports(t *testing.T) func() []string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	t.Setenv(browserMode, "report")
	t.Setenv(reportTo, l.Addr().String())
	return func() []string {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		args, _ := io.ReadAll(conn)
		return strings.Split(string(args), "\n")
	}
}

func TestBrowserVariableNamesTheProgram(t *testing.T) {
	path, sep := browserPath(t), string(filepath.ListSeparator)
	for name, tt := range map[string]struct {
		browser string
		want    []string
	}{
		"a program":              {path, []string{address}},
		"with arguments":         {path + " --new  --private", []string{"--new", "--private", address}},
		"with a place":           {path + " --url=%s --x", []string{"--url=" + address, "--x"}},
		"after what is missing":  {"no-such-browser-here" + sep + path, []string{address}},
		"after an empty entry":   {sep + " " + sep + path, []string{address}},
		"before what is missing": {path + sep + "no-such-browser-here", []string{address}},
	} {
		t.Run(name, func(t *testing.T) {
			report := reports(t)
			t.Setenv("BROWSER", tt.browser)
			t.Setenv("SSH_CONNECTION", "1.2.3.4 1 5.6.7.8 22") // BROWSER is the person's word: it counts here too
			if err := Open(t.Context(), address); err != nil {
				t.Fatal(err)
			}
			if got := report(); !slices.Equal(got, tt.want) {
				t.Errorf("the browser got %q; want %q", got, tt.want)
			}
		})
	}
}

func TestProgramMayHaveSpacesInItsPath(t *testing.T) {
	data, err := os.ReadFile(browserPath(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "my browser.exe")
	if err := os.WriteFile(path, data, 0o700); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(path, string(filepath.ListSeparator)) {
		t.Skip("the temporary directory has a list separator in its path")
	}
	report := reports(t)
	t.Setenv("BROWSER", path)
	if err := Open(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	if got := report(); !slices.Equal(got, []string{address}) {
		t.Errorf("the browser got %q", got)
	}
}

func TestBrowserOutlivesTheContext(t *testing.T) {
	report := reports(t)
	t.Setenv("BROWSER", browserPath(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Open(ctx, address); err != nil {
		t.Fatal(err)
	}
	if got := report(); !slices.Equal(got, []string{address}) {
		t.Errorf("the browser got %q", got)
	}
}

func TestProgramThatDoesNotStartIsAnError(t *testing.T) {
	for name, tt := range map[string]struct{ browser, mode, word string }{
		"missing":   {"no-such-browser-here", "", "no-such-browser-here"},
		"fails":     {browserPath(t), "fail", "exit status 3"},
		"all empty": {string(filepath.ListSeparator), "", "names no program"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(browserMode, tt.mode)
			t.Setenv("BROWSER", tt.browser)
			err := open(t.Context(), address, time.Hour) // however busy the machine is
			if err == nil || !strings.Contains(err.Error(), tt.word) || strings.Contains(err.Error(), "state=") {
				t.Errorf("got %v; want an error with %q and without the address", err, tt.word)
			}
		})
	}
}

func TestOnlyWebAddressesAreOpened(t *testing.T) {
	t.Setenv("BROWSER", browserPath(t))
	t.Setenv(browserMode, "fail")
	for _, bad := range []string{"", "--help", "-x", "file:///etc/passwd", "javascript:alert(1)", "auth.test", " https://auth.test"} {
		if err := Open(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "http") {
			t.Errorf("%q: got %v; want a refusal", bad, err)
		}
	}
}

func TestNobodyLooksAtAScreenFarAway(t *testing.T) {
	for name, tt := range map[string]struct {
		goos string
		env  map[string]string
		want string
	}{
		"X11":                 {"linux", map[string]string{"DISPLAY": ":0"}, ""},
		"Wayland":             {"linux", map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, ""},
		"WSL":                 {"linux", map[string]string{"WSL_DISTRO_NAME": "Debian"}, ""},
		"console":             {"linux", nil, "display"},
		"console of a BSD":    {"freebsd", nil, "display"},
		"macOS":               {"darwin", nil, ""},
		"Windows":             {"windows", nil, ""},
		"SSH":                 {"linux", map[string]string{"SSH_CONNECTION": "x"}, "SSH"},
		"SSH with forwarding": {"linux", map[string]string{"SSH_TTY": "/dev/pts/1", "DISPLAY": "localhost:10.0"}, "SSH"},
		"SSH to macOS":        {"darwin", map[string]string{"SSH_CONNECTION": "x"}, "SSH"},
	} {
		err := reachable(tt.goos, func(name string) string { return tt.env[name] })
		if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v; want %q", name, err, tt.want)
		}
	}
}

func TestOpenSaysWhenNobodyLooks(t *testing.T) {
	t.Setenv("BROWSER", "")
	t.Setenv("SSH_CONNECTION", "1.2.3.4 1 5.6.7.8 22")
	if err := Open(t.Context(), address); err == nil || !strings.Contains(err.Error(), "SSH") {
		t.Errorf("got %v", err)
	}
}

func TestMissingSystemBrowserIsAnError(t *testing.T) {
	if err := reachable("linux", os.Getenv); err == nil {
		t.Skip("a real browser might open here")
	}
	t.Setenv("BROWSER", "")
	t.Setenv("PATH", t.TempDir())
	t.Setenv("DISPLAY", ":77")
	t.Setenv("SSH_CONNECTION", "")
	t.Setenv("SSH_TTY", "")
	if err := open(t.Context(), address, time.Hour); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("got %v; want exec.ErrNotFound", err)
	}
}

func TestStartIsWatchedForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, boom := time.Now(), errors.New("boom")
		if err := settle(t.Context(), settleTime, func() error { return boom }); !errors.Is(err, boom) || time.Since(start) != 0 {
			t.Errorf("a failure at once: %v after %v", err, time.Since(start))
		}
		if err := settle(t.Context(), settleTime, func() error { time.Sleep(time.Hour); return boom }); err != nil || time.Since(start) != settleTime {
			t.Errorf("a browser that stays open: %v after %v; want nil after %v", err, time.Since(start), settleTime)
		}
		time.Sleep(2 * time.Hour)
	})
}
