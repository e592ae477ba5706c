package curlline_test

import (
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/curlline"
)

func words(line string) []string { return strings.Fields(line) }

func TestF99_OptionsThatPrintOrRedirectATokenAreRefused(t *testing.T) {
	for _, line := range []string{
		"-v", "--verbose", "-sv", "-fsSv", "-vX POST", "--trace -", "--trace-ascii x", "--trace-config all", "--libcurl x.c", "--verb", "--no-verbose",
		"-L", "-sL", "--location", "--location-trusted", "--follow", "--max-redirs 5", "--proto-redir all", "--post301",
		"-x http://127.0.0.1:1", "-xhttp://127.0.0.1:1", "--proxy x", "--preproxy x", "--socks5 x", "--proxy-header x", "--proxytunnel", "-p",
		"--connect-to ::x:", "--resolve a:1:b", "--unix-socket x", "--abstract-unix-socket x", "--dns-servers x", "--doh-url x", "--request-target x", "--haproxy-protocol", "--alt-svc x",
		"-k", "--insecure", "-sk", "--proxy-insecure", "--ssl-allow-beast", "--ciphers x", "--proto all", "--tls-ech x", "--ech x",
		"-K x", "--config x", "-Kx", "-q", "--disable", "--variable a=b", "--expand-url x", "--next", "-:", "--url x", "--globoff", "https://elsewhere.example/", "elsewhere.example", "-", "",
		"-u a:b", "--user a:b", "-n", "--netrc", "--netrc-file x", "--oauth2-bearer x", "--aws-sigv4 x", "--anyauth", "--negotiate", "--delegation x",
		"-H @x", "-H @-", "-H Host:x", "-H host:x", "-HHOST:x", "-H Host;", "--header Host:x", "-X Gé", "-X GET/", "-X", "-X @", "-d", "--data", "--data=x", "--hea Host:x", "-Z", "--parallel", "-J", "--stderr x", "-\xff",
	} {
		args := words(line)
		if line == "" {
			args = []string{""}
		}
		if _, err := curlline.Read(args); err == nil {
			t.Errorf("%q is passed on", line)
		} else if strings.Contains(err.Error(), "\xff") {
			t.Errorf("%q: the error has it raw: %q", line, err)
		}
	}
	for _, value := range []string{"X-A: b\r\nHost: c", "X-A: b\nX-Token: c", "X\x00"} {
		for _, option := range []string{"-H", "-A", "-e", "-b", "-r"} {
			if _, err := curlline.Read([]string{option, value}); err == nil {
				t.Errorf("%s %q is passed on", option, value)
			}
		}
	}
}

func TestOptionsArePassedOnAsCurlReadsThem(t *testing.T) {
	for line, want := range map[string]string{
		"":                            "GET",
		"-- -f":                       "GET --fail",
		"-d a=b":                      "POST --data a=b",
		"-da=b":                       "POST --data a=b",
		"-sSfd -v":                    "POST --silent --show-error --fail --data -v", // which is what curl sends
		"--json {}":                   "POST --json {}",
		"-F a=@b":                     "POST --form a=@b",
		"-X DELETE":                   "DELETE --request DELETE",
		"-XPATCH --json {}":           "PATCH --request PATCH --json {}",
		"-T file":                     "PUT --upload-file file",
		"-I":                          "HEAD --head",
		"-G -d q=1":                   "GET --get --data q=1",
		"--url-query q=1":             "GET --url-query q=1",
		"-H Accept:text/plain -o out": "GET --header Accept:text/plain --output out",
		"-X OPTIONS -X PUT":           "PUT --request OPTIONS --request PUT",
	} {
		got, err := curlline.Read(words(line))
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		args := got.Args(&url.URL{Scheme: "https", Host: "api.test", Path: "/x"})
		if said := strings.TrimSpace(got.Method() + " " + strings.Join(args[8:len(args)-2], " ")); said != want {
			t.Errorf("%q: got %q, want %q", line, said, want)
		}
	}
	if _, err := curlline.Read([]string{"-d", "line\nline"}); err != nil {
		t.Errorf("a body with lines: %v", err)
	}
}

// What curl might read otherwise than package net/url does is not left in a URL.
func TestURLIsTheOneThatWasChecked(t *testing.T) {
	for address, want := range map[string]string{
		"https://api.test":                     "https://api.test/",
		"https://api.test?@evil.test/":         "https://api.test/?@evil.test/",
		"https://api.test#@evil.test/":         "https://api.test/",
		"https://api.test/a#b":                 "https://api.test/a",
		"https://\u0430pi.test/\u202e":         "https://xn--pi-6kc.test/%E2%80%AE",
		"https://%D0%B0pi.test/":               "https://xn--pi-6kc.test/",
		"https://api.test/[1-9]?{a,b}":         "https://api.test/[1-9]?{a,b}", // with --globoff
		"http://127.0.0.1:1/x":                 "http://127.0.0.1:1/x",
		"https://api.test/a\\@evil.test":       "https://api.test/a%5C@evil.test",
		"https://api.test/%0d%0aX-A:%20b?c=%0": "https://api.test/%0d%0aX-A:%20b?c=%0",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		args := new(curlline.Line).Args(u)
		if got := args[len(args)-1]; got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
		if args[0] != "--disable" || !slices.Contains(args, "--globoff") || !slices.Contains(args, "="+u.Scheme) || slices.Contains(args, "--noproxy") != (u.Scheme == "http") {
			t.Errorf("%q: got %q", address, args)
		}
	}
}

func TestHeaderOfTheTokenIsNotGivenTwice(t *testing.T) {
	for _, tt := range []struct {
		options []string
		carries string
		taken   bool
	}{
		{[]string{"-H", "authorization: x"}, "Authorization", true},
		{[]string{"-H", "Authorization;"}, "Authorization", true},
		{[]string{"-H", " Authorization :"}, "Authorization", true},
		{[]string{"-H", "Authorization: x"}, "X-Token", false},
		{[]string{"-H", "x-token: x"}, "X-Token", true},
		{[]string{"-b", "a=b"}, "Cookie", true},
		{[]string{"-H", "Cookie: a=b"}, "Cookie", true},
		{[]string{"-b", "a=b"}, "Authorization", false},
		{[]string{"-d", "Authorization: x"}, "Authorization", false},
	} {
		line, err := curlline.Read(tt.options)
		if err != nil {
			t.Fatal(err)
		}
		if err := line.Check(http.Header{tt.carries: {"t"}}); (err != nil) != tt.taken {
			t.Errorf("%q beside %s: %v", tt.options, tt.carries, err)
		}
	}
}

func TestConfigurationKeepsEveryCharacterOfAToken(t *testing.T) {
	if got, want := curlline.Config(http.Header{"X-Token": {`a"b\c #d`}}), `header = "X-Token: a\"b\\c #d"`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Every option that is passed on is one of curl's, and takes a value if curl says so.
func TestOptionsAreCurls(t *testing.T) {
	program, err := exec.LookPath("curl")
	if err != nil {
		t.Log("there is no curl to compare with")
		return
	}
	help, err := exec.Command(program, "--help", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	takes := make(map[string]bool)
	for line := range strings.Lines(string(help)) {
		var name string
		fields := strings.Fields(line)
		for i, field := range fields {
			if strings.HasPrefix(field, "--") {
				name = field[2:]
				takes[name] = i+1 < len(fields) && strings.HasPrefix(fields[i+1], "<")
				break
			}
		}
	}
	for name, value := range takes {
		args := []string{"--" + name}
		if _, err := curlline.Read(args); err != nil && !strings.HasSuffix(err.Error(), "needs a value") {
			continue // not passed on
		} else if (err != nil) != value {
			t.Errorf("--%s takes a value: %v; curl says %v", name, err != nil, value)
		}
	}
	if !takes["data"] || len(takes) < 100 {
		t.Errorf("curl lists %d options: is its form another one now?", len(takes))
	}
}
