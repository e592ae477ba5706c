// Command compare has "evertoken mcp" and npm's mcp-remote live through the same scenarios, ten
// processes of each at once at one strict server, and prints what came of it:
//
//	go run ./compare
//
// A column tells the windows that a person was asked to log in with, the clients that were
// registered, the refresh tokens that were sent once too often, whether the session was
// lost, the calls that failed, and how long it took until all were answered: from the
// start, or from the end of the trouble. It is for Linux, whose tables tell which process a
// connection is of.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// browsers are the names under which this program is a browser: it tells the person.
var browsers = []string{"browser", "xdg-open"}

// deskEnv names the variable with the address where the person is told.
const deskEnv = "COMPARE_DESK"

func main() {
	if slices.Contains(browsers, filepath.Base(os.Args[0])) {
		os.Exit(browse())
	}
	if err := compare(); err != nil {
		fmt.Fprintf(os.Stderr, "%q\n", err.Error())
		os.Exit(1)
	}
}

// browse is the browser.
func browse() int {
	resp, err := http.Get(os.Getenv(deskEnv) + "?url=" + url.QueryEscape(os.Args[len(os.Args)-1]))
	if err != nil {
		return 1
	}
	resp.Body.Close()
	return 0
}

// full is the pace of a comparison, quick that of a look. Tokens live longer than ten processes
// take to start on a busy machine.
var (
	full  = pace{life: 20 * time.Second, person: 3 * time.Second, outage: 2 * time.Minute, limit: 4 * time.Minute}
	quick = pace{life: 4 * time.Second, person: time.Second, outage: 12 * time.Second, limit: 90 * time.Second}
)

func compare() error {
	only := flag.String("only", "", "compare one product: evertoken or mcp-remote")
	match := flag.String("run", "", "play the scenarios that match this regular expression")
	fast := flag.Bool("quick", false, "shorter outages, and less patience")
	logs := flag.String("logs", "", "keep in this directory what the bridges say")
	flag.Parse()
	names, err := regexp.Compile(*match)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "evertoken")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, err := build(root, dir)
	if err != nil {
		return err
	}
	p := full
	if *fast {
		p = quick
	}
	fmt.Println("| scenario | bridge | windows | registrations | spent twice | sessions lost | failed calls | seconds |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, s := range scenarios {
		for _, with := range []product{ours, mcpRemote} {
			if !names.MatchString(s.name) || *only != "" && *only != with.name {
				continue
			}
			for _, expiresIn := range s.variants() {
				res, err := s.with(p, with, expiresIn, *logs)
				fmt.Println(row(s, with, expiresIn, res, err))
			}
		}
	}
	return nil
}

// root is the repository, seen from where the program runs.
const root = "../.."

// build makes our bridge from the sources at root.
func build(root, dir string, flags ...string) (product, error) {
	path := filepath.Join(dir, "evertoken")
	args := append(append([]string{"build", "-C", root, "-o", path}, flags...), "./cmd/evertoken")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return product{}, fmt.Errorf("go build: %w: %s", err, out)
	}
	return product{name: "evertoken", command: []string{path, "mcp"}}, nil
}

// mcpRemote is the bridge that most people use.
var mcpRemote = product{
	name: "mcp-remote", command: []string{"node", "node_modules/mcp-remote/dist/proxy.js"},
	after: []string{"--allow-http", "--transport", "http-only"},
}

// variants are whether the server tells expires_in.
func (s scenario) variants() []bool {
	if s.silent {
		return []bool{true, false}
	}
	return []bool{true}
}

// with plays the scenario with a product.
func (s scenario) with(p pace, with product, expiresIn bool, logs string) (result, error) {
	r, err := newRun(p, with, s.cfg, expiresIn)
	if err != nil {
		return result{}, err
	}
	defer r.close()
	err = s.play(r)
	r.logTo(logs, strings.ReplaceAll(s.name, " ", "-"))
	if err != nil {
		return r.result, err
	}
	err = r.finish()
	return r.result, err
}

// row is a line of the table.
func row(s scenario, with product, expiresIn bool, res result, err error) string {
	name := s.name
	if !expiresIn {
		name += ", without `expires_in`"
	}
	if err != nil {
		return fmt.Sprintf("| %s | %s | could not be played: %q |", name, with.name, err.Error())
	}
	lost := 0
	if res.lost {
		lost = 1
	}
	line := fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %d | %.1f |", name, with.name, res.asked.windows, res.asked.registrations,
		res.asked.reuses, lost, res.failed, res.connected.Seconds())
	if len(res.words) > 0 {
		fmt.Fprintln(os.Stderr, name, with.name, strings.Join(res.words, "; "))
	}
	return line
}
