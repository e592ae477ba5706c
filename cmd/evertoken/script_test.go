package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/curlline"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/stores"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"evertoken": main,
		"browser":   openInBrowser,
		"curl":      recordCurl,
	})
}

// openInBrowser is what BROWSER names in the scripts: it has the test's process
// act for the person, and takes the browser back to where the server sends it.
func openInBrowser() {
	recordSeen()
	resp, err := http.Get(os.Getenv("PERSON") + "?" + url.Values{
		"url": {os.Args[len(os.Args)-1]}, "user": {os.Getenv("LOGIN_AS")}, "refuse": {os.Getenv("REFUSE")},
	}.Encode())
	if err != nil || resp.StatusCode != http.StatusOK {
		os.Exit(1)
	}
}

// recordCurl is in front of curl: it records what others see of it, and then runs it.
func recordCurl() {
	recordSeen()
	_, others, _ := strings.Cut(os.Getenv("PATH"), string(filepath.ListSeparator)) // behind the directory of the test's own
	_ = os.Setenv("PATH", others)
	cmd := exec.Command("curl", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if file := os.NewFile(3, "/dev/fd/3"); curlline.NamesPipes(runtime.GOOS) {
		cmd.ExtraFiles = []*os.File{file}
	}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// recordSeen writes what every user of the machine sees of this process, its words, and
// what those see that are like it, its environment and its limits, into files that $SEEN names.
func recordSeen() {
	seen := os.Getenv("SEEN")
	if seen == "" {
		return
	}
	limits, _ := os.ReadFile("/proc/self/limits") // a script that misses them fails
	for name, text := range map[string]string{
		".argv": strings.Join(os.Args, "\n") + "\n", ".environ": strings.Join(os.Environ(), "\n") + "\n", ".limits": string(limits),
	} {
		if err := os.WriteFile(seen+name, []byte(text), 0o600); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
	}
}

func TestScripts(t *testing.T) { testscript.Run(t, scripts("testdata", setUp)) }

// scripts returns how the scripts in dir are run.
func scripts(dir string, setUp func(*testscript.Env) error) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		Setup:               setUp,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "machine-id":
				_, err := os.Stat("/etc/machine-id")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": serverCommand,
			"age":    ageCommand,
			"json":   jsonCommand,
			"secret": secretCommand,
			"seal":   sealCommand,
			"mode":   modeCommand,
			"exits":  exitsCommand,
		},
	}
}

// setUp gives each script a home and two authorization servers of its own, the
// second for what needs another one.
func setUp(env *testscript.Env) error {
	for _, n := range []string{"", "2"} {
		s := oauthtest.NewServer(oauthtest.Config{
			Users:          map[string]string{"alice": "wonderland", "bob": "builder"},
			DeviceInterval: time.Second,
			Clients:        []oauthtest.RegisteredClient{{ID: "confidential", Secret: "s3cret+/="}},
			Quirks:         oauthtest.Quirks{RefusesVerifier: n == "2"},
		})
		env.Defer(s.Close)
		person := httptest.NewServer(person(s))
		env.Defer(person.Close)
		u, err := url.Parse(s.URL)
		if err != nil {
			return err
		}
		env.Setenv("ISSUER"+n, s.Issuer())
		env.Setenv("PORT"+n, u.Port())
		env.Setenv("RESOURCE"+n, s.Resource())
		env.Setenv("PERSON"+n, person.URL)
		oneGrant := httptest.NewServer(oneGrant(s))
		env.Defer(oneGrant.Close)
		env.Setenv("ONEGRANT"+n, oneGrant.URL)
		env.Values["server"+n] = s
	}
	setUpBackends(env)
	if err := setUpNetwork(env); err != nil {
		return err
	}
	env.Values["noted"] = make(map[oauthtest.Endpoint]int)
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	env.Setenv("DIR", filepath.Join(home, ".local", "state", "evertoken"))
	env.Setenv("CLIENT", oauthtest.DefaultClientID)
	env.Setenv("BROWSER", "browser")
	env.Setenv("LOGIN_AS", "alice")
	env.Setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:") // no keyring can be reached
	env.Setenv("EVERTOKEN_STORE", profile.InFiles)
	env.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector's second at the end of each process
	return os.Mkdir(home, 0o700)
}

// person signs in at the server and takes the browser back to the program.
func person(s *oauthtest.Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		act, q := s.Allow, r.URL.Query()
		if q.Get("refuse") != "" {
			act = s.Deny
		}
		location, err := act(r.Context(), q.Get("url"), q.Get("user"))
		if err == nil {
			var resp *http.Response
			if resp, err = http.Get(location); err == nil {
				_, _ = io.Copy(w, resp.Body)
				resp.Body.Close()
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
}

// oneGrant is a revocation endpoint like that of servers which keep one grant for
// each person: whichever of alice's sessions is revoked, all of them end.
func oneGrant(s *oauthtest.Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.RevokeAll("alice")
		r.URL.Path = "/revoke"
		s.ServeHTTP(w, r)
	}
}

// serverCommand controls and inspects the script's first server:
//
//	server clean             no refresh token was misused
//	server refreshes N       the server has carried out N refreshes
//	server sessions USER N   USER has N sessions
//	server requests PATH N   PATH was asked N times
//	server note PATH         count from here on:
//	server quiet PATH        PATH was not asked since
//	server await PATH N      wait until PATH was asked N times since
//	server fault NAME        see faults
//	server calm              forget the faults that have not happened
//	server revoke-all USER   end the sessions from the server's side
//	server expire USER       reject the access tokens that USER has
//	server approve USER      say yes to device logins to come
func serverCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("server").(*oauthtest.Server)
	noted := ts.Value("noted").(map[oauthtest.Endpoint]int)
	args = append(args, "", "", "")
	endpoint := oauthtest.Endpoint(args[1])
	switch args[0] {
	case "clean":
		if mistakes := s.Audit(); len(mistakes) > 0 {
			ts.Fatalf("the auditor found %v", mistakes)
		}
	case "refreshes":
		equal(ts, "refreshes", s.Refreshes(), args[1])
	case "sessions":
		equal(ts, "sessions", s.Sessions(args[1]), args[2])
	case "requests":
		equal(ts, "requests", s.Requests(endpoint), args[2])
	case "note":
		noted[endpoint] = s.Requests(endpoint)
	case "quiet":
		equal(ts, "requests", s.Requests(endpoint)-noted[endpoint], "0")
	case "await":
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		ts.Check(s.AwaitRequests(ctx, endpoint, noted[endpoint]+number(ts, args[2])))
	case "fault":
		s.Script(faults(ts, args[1]))
	case "calm":
		s.ClearScript()
	case "revoke-all":
		s.RevokeAll(args[1])
	case "expire":
		s.ExpireAccess(args[1])
	case "approve":
		s.Script(oauthtest.Fault{Endpoint: oauthtest.DeviceAuthorizationEndpoint, Times: -1, Edit: func(fields map[string]any) {
			code := fmt.Sprint(fields["user_code"])
			go func() { _ = s.AllowDevice(context.Background(), code, args[1]) }() // the login fails if this does
		}})
	default:
		ts.Fatalf("server: unknown command %q", args[0])
	}
	if neg {
		ts.Fatalf("server: no ! please")
	}
}

func faults(ts *testscript.TestScript, name string) oauthtest.Fault {
	switch name {
	case "down":
		return oauthtest.Fault{Endpoint: oauthtest.AnyEndpoint, Status: http.StatusServiceUnavailable, HTML: true, Times: -1}
	case "revocation-down":
		return oauthtest.Fault{Endpoint: oauthtest.RevocationEndpoint, Status: http.StatusServiceUnavailable}
	case "revocation-refused":
		return oauthtest.Fault{Endpoint: oauthtest.RevocationEndpoint, Status: http.StatusForbidden, Body: `{"error":"access_denied"}`}
	case "revocation-missing":
		return oauthtest.Fault{Endpoint: oauthtest.RevocationEndpoint, Status: http.StatusNotFound, HTML: true}
	case "slow":
		return oauthtest.Fault{Delay: 300 * time.Millisecond, AfterCommit: true}
	case "lost":
		return oauthtest.Fault{Reset: true, AfterCommit: true}
	case "none": // a request that goes well, before another fault
		return oauthtest.Fault{}
	case "hang":
		return oauthtest.Fault{Hang: true}
	case "busy":
		return oauthtest.Fault{Status: http.StatusServiceUnavailable, HTML: true}
	case "broken":
		return oauthtest.Fault{Status: http.StatusInternalServerError, HTML: true}
	case "userinfo-none":
		return oauthtest.Fault{Endpoint: oauthtest.UserinfoEndpoint}
	case "userinfo-refuses":
		return oauthtest.Fault{Endpoint: oauthtest.UserinfoEndpoint, Status: http.StatusUnauthorized, Body: "{}", Times: -1}
	case "userinfo-down":
		return oauthtest.Fault{Endpoint: oauthtest.UserinfoEndpoint, Status: http.StatusServiceUnavailable, Times: -1}
	case "api-busy":
		return oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Second}
	case "api-refuses":
		return oauthtest.Fault{Endpoint: oauthtest.ResourceEndpoint, Status: http.StatusUnauthorized, Body: "{}", Times: -1}
	case "device-disabled":
		return oauthtest.Fault{Endpoint: oauthtest.DeviceAuthorizationEndpoint, Status: http.StatusOK, Body: `{"error":"device_flow_disabled"}`}
	case "device-code-unknown":
		return oauthtest.Fault{Status: http.StatusOK, Body: `{"error":"bad_verification_code"}`}
	case "no-end":
		return oauthtest.Fault{Edit: func(fields map[string]any) {
			delete(fields, "refresh_token")
			delete(fields, "expires_in")
			delete(fields, "id_token")        // which is about the access token
			fields["access_token"] = "opaque" // the server's own tells its end
		}}
	case "untold-end":
		return oauthtest.Fault{Times: -1, Edit: func(fields map[string]any) {
			delete(fields, "expires_in")
			delete(fields, "id_token")
			token := fmt.Sprint(fields["access_token"])
			fields["access_token"] = token[strings.LastIndex(token, ".")+1:] // no JWT, which tells its end
		}}
	case "long-access-token":
		return oauthtest.Fault{Times: -1, Edit: func(fields map[string]any) { fields["expires_in"] = 86400 }}
	case "nested":
		return oauthtest.Fault{Times: -1, Edit: func(fields map[string]any) {
			session := maps.Clone(fields)
			clear(fields)
			fields["data"] = map[string]any{"session": session}
		}}
	case "no-token":
		return oauthtest.Fault{Edit: func(fields map[string]any) {
			clear(fields)
			fields["profile"], fields["ok"] = "alice", true
		}}
	case "invalid-request":
		return oauthtest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_request"}`}
	case "short-refresh-token":
		return oauthtest.Fault{Times: -1, Edit: func(fields map[string]any) { fields["refresh_token_expires_in"] = 600 }}
	case "no-refresh-token":
		return oauthtest.Fault{Edit: func(fields map[string]any) { delete(fields, "refresh_token") }}
	}
	ts.Fatalf("unknown fault %q", name)
	return oauthtest.Fault{}
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

func equal(ts *testscript.TestScript, what string, got int, want string) {
	if got != number(ts, want) {
		ts.Fatalf("%d %s; want %s", got, what, want)
	}
}

// ageCommand makes a stored session older:
//
//	age PROFILE DURATION
func ageCommand(ts *testscript.TestScript, _ bool, args []string) {
	by, err := time.ParseDuration(args[1])
	ts.Check(err)
	store, rec := openSession(ts, args[0]), savedSession(ts, args[0])
	makeOlder(rec, by)
	_, err = store.Set(context.Background(), args[0], rec)
	ts.Check(err)
}

// makeOlder sets back the times of a record.
func makeOlder(rec *tokenstore.Record, by time.Duration) {
	rec.Tokens.IssuedAt = rec.Tokens.IssuedAt.Add(-by)
	if !rec.RefreshedAt.IsZero() {
		rec.RefreshedAt = rec.RefreshedAt.Add(-by)
	}
	for _, mark := range []*tokenstore.Mark{rec.Pending, rec.Refused, rec.Dead} {
		if mark != nil {
			mark.At, mark.Last = mark.At.Add(-by), mark.Last.Add(-by)
		}
	}
	for _, end := range []*time.Time{&rec.Tokens.ExpiresAt, &rec.Tokens.RefreshExpiresAt} {
		if !end.IsZero() {
			*end = end.Add(-by)
		}
	}
}

// openSession opens the store that a profile names.
func openSession(ts *testscript.TestScript, profile string) *stores.Bound {
	a := &app{common: common{Dir: ts.Getenv("DIR"), Profile: profile}, openKeyring: stores.OpenKeyring}
	p, err := a.loadProfile()
	ts.Check(err)
	store, err := a.openStore(context.Background(), p)
	ts.Check(err)
	return store
}

// savedSession returns the record of a profile.
func savedSession(ts *testscript.TestScript, profile string) *tokenstore.Record {
	rec, err := openSession(ts, profile).Get(context.Background(), profile)
	ts.Check(err)
	return rec
}

// jsonCommand compares a field of the JSON object in a file:
//
//	json FILE FIELD VALUE
func jsonCommand(ts *testscript.TestScript, neg bool, args []string) {
	var fields map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &fields))
	value, ok := fields[args[1]]
	if len(args) == 2 {
		if ok == neg {
			ts.Fatalf("field %s present: %v", args[1], ok)
		}
		return
	}
	if got := fmt.Sprint(value); (got == args[2]) == neg {
		ts.Fatalf("field %s is %q; want %q (negated: %v)", args[1], got, args[2], neg)
	}
}

// exitsCommand runs the command and compares its exit code:
//
//	exits CODE ARGUMENT...
func exitsCommand(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](ts.Exec("evertoken", args[1:]...)); ok {
		code = exit.ExitCode()
	}
	equal(ts, "as exit code", code, args[0])
}

// secretCommand looks for a session's secrets in files, which must not hold any:
//
//	secret PROFILE FILE...
func secretCommand(ts *testscript.TestScript, _ bool, args []string) {
	rec := savedSession(ts, args[0])
	for _, file := range args[1:] {
		text := ts.ReadFile(file)
		for _, secret := range []string{rec.Tokens.AccessToken, rec.Tokens.RefreshToken, rec.Tokens.IDToken} {
			if secret != "" && containsPart(text, secret) {
				ts.Fatalf("%s holds a secret", file)
			}
		}
	}
}

// containsPart reports whether text holds a telling part of the secret.
func containsPart(text, secret string) bool {
	const part = 24
	for i := 0; i+part <= len(secret); i += part {
		if len(text) >= part && strings.Contains(text, secret[i:i+part]) {
			return true
		}
	}
	return false
}

// sealCommand makes a session one that was sealed with the key of a keyring which
// is not here:
//
//	seal PROFILE
func sealCommand(ts *testscript.TestScript, _ bool, args []string) {
	a := &app{common: common{Dir: ts.Getenv("DIR"), Profile: args[0]}}
	p, err := a.loadProfile()
	ts.Check(err)
	plain, err := tokenstore.NewFile(a.Dir)
	ts.Check(err)
	p.Store = profile.InKeyring
	files, err := tokenstore.NewFile(stores.Dir(a.Dir, p.Store))
	ts.Check(err)
	sealed := tokenstore.NewSealed(files, tokenstore.Keys(tokenstore.NewKey()))
	ts.Check(tokenstore.Move(context.Background(), plain, sealed, a.Profile))
	ts.Check(a.saveProfile(p))
}

// modeCommand compares the permissions of a file:
//
//	mode OCTAL FILE
func modeCommand(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("mode of %s is %s; want %s", args[1], got, args[0])
	}
}
