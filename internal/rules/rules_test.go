package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// planted are mistakes, by the rule that is to find them. Each stands in a function.
var planted = map[string][]string{
	"random":       {"import:math/rand", "import:math/rand/v2"},
	"cryptography": {"import:crypto/md5", "import:crypto/sha1", "import:crypto/des", "import:crypto/rc4"},
	"unsafe":       {"import:unsafe", "import:net/http/pprof", "import:expvar", "import:text/template"},
	"tls": {
		"t.TLSClientConfig.InsecureSkipVerify = true", "_ = &tls.Config{InsecureSkipVerify: true}", "_ = tls.Config{MinVersion: tls.VersionTLS10}",
		"c.KeyLogWriter = os.Stderr", "_ = tls.InsecureCipherSuites()",
	},
	"client": {"http.Get(u)", "http.Post(u, t, b)", "http.PostForm(u, v)", "hc := http.DefaultClient; _ = hc", "resp, err := http.DefaultClient.Do(req); _, _ = resp, err"},
	"server": {
		`http.ListenAndServe("127.0.0.1:0", h)`, "http.Serve(l, h)", `http.HandleFunc("/", f)`, "_ = http.Server{Handler: h}", "s := &http.Server{Handler: h}; _ = s",
		`net.Listen("tcp", ":0")`, `net.Listen("tcp", "0.0.0.0:8080")`, `lc.Listen(ctx, "tcp", "[::]:0")`, `net.Listen("tcp", "")`,
	},
	"process": {`exec.Command("sh", "-c", s)`, "exec.CommandContext(ctx, name, arg)", "os.StartProcess(name, argv, attr)", "syscall.Exec(name, argv, env)"},
	"unbounded": {
		"io.ReadAll(resp.Body)", "b, err := io.ReadAll(r); _, _ = b, err", "json.NewDecoder(resp.Body).Decode(&v)", "json.NewDecoder(r)", "ioutil.ReadAll(r)",
	},
	"printed secret": {
		`fmt.Errorf("bad token %s", pair.RefreshToken)`, `fmt.Println(t.AccessToken)`, `errors.New("no: " + verifier)`, `panic(c.cfg.ClientSecret)`,
		`slog.Info("login", "token", p.IDToken)`, `s.logger.Debug("x", "code", deviceCode)`, `log.Printf("%v", *password)`, `slog.String("verifier", r.Verifier)`,
		`fmt.Fprintf(w, "%s", "Bearer "+(t.AccessToken))`,
	},
	"compared secret": {
		`if state == r.State { return }`, `ok := q.Get("state") == want.state; _ = ok`, `if sent != cfg.ClientSecret { return }`, `if claims.nonce != nonce { return }`,
		`return signature == sum(x)`,
	},
	"edited error": {
		`return strings.TrimPrefix(err.Error(), "p: ")`, `text, _ := strings.CutPrefix(e.err.Error(), "p: "); _ = text`, `s := strings.ReplaceAll(err.Error(), "a", "b"); _ = s`,
	},
}

// innocent is code that no rule may find.
var innocent = []string{
	"import:crypto/rand", "import:html/template", "import:crypto/sha256",
	"_ = &tls.Config{MinVersion: tls.VersionTLS12}", "resp, err := hc.Do(req); _, _ = resp, err",
	"s := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}; _ = s", `net.Listen("tcp", "127.0.0.1:0")`, `lc.Listen(ctx, "tcp", address)`, `net.Listen("tcp", "[::1]:0")`,
	"io.ReadAll(io.LimitReader(resp.Body, most))", "json.NewDecoder(bytes.NewReader(data))", "json.NewDecoder(http.MaxBytesReader(w, r.Body, most))",
	`slog.String("access", wire.Presence(t.AccessToken))`, `fmt.Sprint(len(t.RefreshToken))`, `fmt.Errorf("%s is empty", name)`, `hash(t.RefreshToken)`,
	`if r.State == "" { return }`, "if st.State == StateSuspected { return }", "if st.State != refresh.StateLoggedOut { return }", "if a.verifier == nil { return }",
	`return strings.TrimPrefix(name, "p: ")`, `return strings.Contains(err.Error(), "x")`,
	"return subtle.ConstantTimeCompare([]byte(state), []byte(r.State)) == 1", "if old.RefreshToken == pair.RefreshToken { return }",
}

// inFile returns a file with a statement or an import.
func inFile(code string) []byte {
	if path, ok := strings.CutPrefix(code, "import:"); ok {
		return []byte("package p\n\nimport _ \"" + path + "\"\n")
	}
	return []byte("package p\n\nfunc f() {\n" + code + "\n}\n")
}

func TestEachRuleFindsAPlantedMistake(t *testing.T) {
	for _, r := range rules {
		if planted[r.name] == nil {
			t.Errorf("no mistake is planted for the rule %q", r.name)
		}
	}
	for name, all := range planted {
		for _, code := range all {
			found, err := lookAt("oauth/planted.go", inFile(code))
			if err != nil {
				t.Fatalf("%s: %v", code, err)
			}
			if !slices.ContainsFunc(found, func(f finding) bool { return f.rule == name }) {
				t.Errorf("the rule %q does not find %s", name, code)
			}
			if found, _ = lookAt("oauth/planted_test.go", inFile(code)); found != nil {
				t.Errorf("found in a test: %v", found)
			}
		}
	}
}

func TestRulesFindNothingInGoodCode(t *testing.T) {
	for _, code := range innocent {
		if found, err := lookAt("refresh/good.go", inFile(code)); err != nil || found != nil {
			t.Errorf("%s: found %v, error %v", code, found, err)
		}
	}
}

func TestHiddenCharactersAreFoundInTestsToo(t *testing.T) {
	for _, hidden := range []string{"\u202e", "\u2066", "\u200b", "\ufeff", "\u009b", "\x1b", "\u200f"} {
		found, err := lookAt("bench/x_test.go", []byte("package p // "+hidden+"\n"))
		if err != nil || len(found) != 1 {
			t.Errorf("%+q: found %v, error %v", hidden, found, err)
		}
	}
	if found, err := lookAt("bench/x_test.go", []byte("package p // \tä – “…” 中文 \u00a0\r\n")); err != nil || found != nil {
		t.Errorf("found %v, error %v", found, err)
	}
}

func TestTheRepositoryKeepsTheRules(t *testing.T) {
	found, err := look(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// An exception for a file that no longer breaks its rule hides the next one that does.
func TestEachExceptionIsNeeded(t *testing.T) {
	was := rules
	defer func() { rules = was }()
	excepted := map[string]bool{}
	rules = nil
	for _, r := range was {
		for file := range r.except {
			excepted[r.name+" "+file] = true
		}
		r.except = nil
		rules = append(rules, r)
	}
	found, err := look(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		delete(excepted, f.rule+" "+f.file)
	}
	for exception := range excepted {
		t.Errorf("%s breaks no rule", exception)
	}
}
