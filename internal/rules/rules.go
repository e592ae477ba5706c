package main

import (
	"bytes"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A rule finds one kind of mistake.
type rule struct {
	name   string
	except map[string]string // by file: why the rule may be broken there
	look   func(n ast.Node, report func(n ast.Node, says string))
}

var rules = []rule{
	{"random", mayGuess, func(n ast.Node, report func(ast.Node, string)) {
		if path := imported(n); path == "math/rand" || path == "math/rand/v2" {
			report(n, path+" can be predicted: secrets, states and verifiers come from crypto/rand")
		}
	}},
	{"cryptography", nil, func(n ast.Node, report func(ast.Node, string)) {
		switch path := imported(n); path {
		case "crypto/md5", "crypto/sha1", "crypto/des", "crypto/rc4", "crypto/dsa":
			report(n, path+" is broken: use crypto/sha256, AES-GCM and crypto/ecdsa")
		}
	}},
	{"unsafe", nil, func(n ast.Node, report func(ast.Node, string)) {
		if path := imported(n); path == "unsafe" || path == "net/http/pprof" || path == "expvar" || path == "text/template" {
			report(n, path+" has no place in programs of users: pprof and expvar show memory to whoever asks, text/template escapes nothing")
		}
	}},
	{"tls", nil, func(n ast.Node, report func(ast.Node, string)) {
		switch name := named(n); name {
		case "InsecureSkipVerify", "KeyLogWriter", "VersionTLS10", "VersionTLS11", "VersionSSL30", "InsecureCipherSuites":
			report(n, name+" gives tokens to whoever is on the way; Go's own defaults are right")
		}
	}},
	{"client", nil, func(n ast.Node, report func(ast.Node, string)) {
		switch called := selected(n); called {
		case "http.Get", "http.Head", "http.Post", "http.PostForm", "http.DefaultClient":
			report(n, called+" follows redirects with what it carries, and waits for ever: use a client of one's own, or wire.NewSender")
		}
	}},
	{"server", nil, servers},
	{"process", mayStart, processes},
	{"unbounded", ofOurOwn, unbounded},
	{"printed secret", notSecret, printed},
	{"compared secret", ownSecret, compared},
	{"edited error", ofALibrary, edited},
}

// mayGuess lists the files that spread times or names, which an attacker gains nothing from guessing.
var mayGuess = map[string]string{
	"internal/chance/chance.go":             "spreads times of refreshes and retries",
	"cmd/evertoken/democmd.go":              "plays trouble",
	"cmd/evertoken/internal/demo/faults.go": "plays trouble",
	"tokenstore/filedamaged.go":             "spreads looks",
	"tokenstore/filelock.go":                "spreads looks at a lock",
	"tokenstore/move.go":                    "spreads looks",
	"tokenstore/record.go":                  "numbers a record, so that one made anew differs from the one before",
	"tokenstore/replace.go":                 "spreads tries to rename",
	"tokenstore/replace_windows.go":         "spreads tries to rename",
	"tokenstore/redisstore/lock.go":         "spreads looks at a lock",
	"tokenstore/sqlstore/errors.go":         "spreads statements that are sent again",
	"tokenstore/sqlstore/lease.go":          "spreads looks at a lease",
	"tokenstore/sqlstore/watch.go":          "spreads looks",
}

// mayStart lists the files that start programs.
var mayStart = map[string]string{
	"oauth/workload/command.go":   "runs the program that the configuration names, without a shell and without a secret in its arguments",
	"cmd/evertoken/curl.go":       "runs curl, as the person asks, with the token in a pipe of its own",
	"internal/browser/browser.go": "starts the browser that the user names in BROWSER, without a shell",
}

// ofOurOwn lists the files that read all of a body which is not a stranger's.
var ofOurOwn = map[string]string{
	"oauth/oauthtest/inprocess.go":                     "the body of a request that the test makes",
	"internal/authserver/person/person.go":             "the server for tests reads its own pages",
	"internal/authserver/registration/registration.go": "the server for tests reads what the test sends",
	"internal/authserver/backend/backend.go":           "the server for tests reads what the test sends",
	"internal/authserver/resource/resource.go":         "the server for tests reads what the test sends",
}

// notSecret lists the files where the name of a secret stands for something else.
var notSecret = map[string]string{
	"oauth/dialect/client.go": "names of members in which a server sends tokens",
}

// ownSecret lists the files that compare what no stranger chose, or what is not a secret.
var ownSecret = map[string]string{
	"internal/dpop/dpop.go": "compares nonces that a server has sent, to see whether they are the same",
	"oauth/config.go":       "compares two settings of the program",
	"oauth/metadata.go":     "compares two settings of the program",
}

// ofALibrary lists the files that take the text of a library's error apart.
var ofALibrary = map[string]string{
	"oauth/dialect/internal/document/yaml.go": "the line stands nowhere else, and the text is not shown",
}

// servers finds listeners that other machines reach, and servers that a connection without
// a request occupies.
func servers(n ast.Node, report func(ast.Node, string)) {
	switch called := selected(n); called {
	case "http.ListenAndServe", "http.ListenAndServeTLS", "http.Serve", "http.ServeTLS", "http.Handle", "http.HandleFunc", "http.DefaultServeMux":
		report(n, called+" has no limits, or takes what any package has registered: use an http.Server with ReadHeaderTimeout")
	}
	if lit, ok := n.(*ast.CompositeLit); ok && selected(lit.Type) == "http.Server" && !hasKey(lit, "ReadHeaderTimeout") {
		report(n, "an http.Server without ReadHeaderTimeout waits for ever for a request")
	}
	if call, ok := n.(*ast.CallExpr); ok && len(call.Args) > 1 && strings.HasSuffix(calledName(call), "Listen") {
		address, ok := text(call.Args[len(call.Args)-1])
		if ok && !strings.HasPrefix(address, "127.") && !strings.HasPrefix(address, "[::1]") && !strings.HasPrefix(address, "localhost") {
			report(n, "listens at "+strconv.Quote(address)+", which other machines reach")
		}
	}
}

// processes finds programs that are started, and shells above all.
func processes(n ast.Node, report func(ast.Node, string)) {
	switch called := selected(n); called {
	case "exec.Command", "exec.CommandContext", "os.StartProcess", "syscall.Exec", "syscall.ForkExec", "unix.Exec":
		report(n, called+" starts a program: arguments are shown to every user, and a name without a path is looked up")
	}
}

// unbounded finds bodies that are read to their end, however far that is.
func unbounded(n ast.Node, report func(ast.Node, string)) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return
	}
	bounded := false
	if inner, ok := call.Args[len(call.Args)-1].(*ast.CallExpr); ok {
		switch calledName(inner) {
		case "io.LimitReader", "http.MaxBytesReader", "bytes.NewReader", "strings.NewReader", "bytes.NewBufferString":
			bounded = true
		}
	}
	switch name := calledName(call); name {
	case "io.ReadAll", "ioutil.ReadAll", "json.NewDecoder", "xml.NewDecoder", "yaml.NewDecoder", "gob.NewDecoder":
		if !bounded {
			report(n, name+" reads for as long as the other side sends: put io.LimitReader around")
		}
	}
}

// secretNames are fields and variables that hold secrets whole.
var secretNames = []string{
	"accessToken", "refreshToken", "idToken", "clientSecret", "verifier", "codeVerifier", "password", "deviceCode",
	"assertion", "clientAssertion", "registrationAccessToken", "sealingKey", "authorization",
}

// isSecret reports whether an expression is a variable or a field with a secret's name.
func isSecret(e ast.Expr) (string, bool) {
	name := ""
	switch x := e.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	case *ast.StarExpr:
		return isSecret(x.X)
	case *ast.ParenExpr:
		return isSecret(x.X)
	}
	return name, slices.ContainsFunc(secretNames, func(secret string) bool { return strings.EqualFold(secret, name) })
}

// printers are packages and names of loggers whose functions make text that people see.
var printers = []string{"fmt", "log", "slog", "errors", "logger", "Logger"}

// printed finds secrets that are put into text: an error, a log line, a panic.
func printed(n ast.Node, report func(ast.Node, string)) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return
	}
	name := calledName(call)
	of, method, _ := strings.Cut(name, ".")
	if name != "panic" && (method == "" || !slices.Contains(printers, of)) || of == "fmt" && strings.HasPrefix(method, "Sscan") {
		return
	}
	for _, arg := range call.Args {
		secretsIn(arg, func(e ast.Expr, secret string) { report(e, secret+" is put into text by "+name) })
	}
}

// secretsIn finds secrets in an expression, as they are or concatenated. What a function
// makes of one is that function's matter.
func secretsIn(e ast.Expr, found func(e ast.Expr, name string)) {
	if name, ok := isSecret(e); ok {
		found(e, name)
	}
	if sum, ok := e.(*ast.BinaryExpr); ok && sum.Op == token.ADD {
		secretsIn(sum.X, found)
		secretsIn(sum.Y, found)
	}
}

// compared finds secrets that are compared byte by byte with what a stranger sends: how long
// that takes tells how much of it was right. Names alone do not tell where the other side
// comes from; those of stored pairs are compared among each other everywhere.
func compared(n ast.Node, report func(ast.Node, string)) {
	b, ok := n.(*ast.BinaryExpr)
	if !ok || b.Op != token.EQL && b.Op != token.NEQ {
		return
	}
	for _, side := range [][2]ast.Expr{{b.X, b.Y}, {b.Y, b.X}} {
		name, other := lastName(side[0]), side[1]
		_, constant := text(other)
		switch strings.ToLower(name) {
		case "state", "nonce", "verifier", "codeverifier", "clientsecret", "password", "signature", "mac", "csrf":
			if !constant && isCallOrVariable(other) {
				report(n, name+" is compared in a time that tells how much was right: use subtle.ConstantTimeCompare")
				return
			}
		}
	}
}

// edited finds texts of errors that are cut or replaced before they are shown: what is edited
// cannot be searched for, and errors of one convention need no editing.
func edited(n ast.Node, report func(ast.Node, string)) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return
	}
	name := calledName(call)
	of, edit := strings.CutPrefix(name, "strings.")
	if !edit || !strings.HasPrefix(of, "Trim") && !strings.HasPrefix(of, "Cut") && !strings.HasPrefix(of, "Replace") {
		return
	}
	if inner, ok := call.Args[0].(*ast.CallExpr); ok && strings.HasSuffix(calledName(inner), ".Error") {
		report(n, name+" edits an error's text: name the package once, where the error leaves it, and in no sentinel that is wrapped")
	}
}

// isCallOrVariable reports whether e is a value that is not known here: a call, or a
// variable. The constants that name states of sessions do not count.
func isCallOrVariable(e ast.Expr) bool {
	if _, call := e.(*ast.CallExpr); call {
		return true
	}
	switch name := lastName(e); name {
	case "", "nil", "true", "false":
		return false
	default:
		return !strings.HasPrefix(name, "State")
	}
}

// hidden finds characters that make code read otherwise than it is compiled (Trojan Source),
// in tests too.
func hidden(name string, content []byte) (found []finding) {
	for i, line := range bytes.Split(content, []byte("\n")) {
		for len(line) > 0 {
			r, size := utf8.DecodeRune(line)
			line = line[size:]
			switch {
			case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200b, r == 0x200e, r == 0x200f, r == 0x2060, r == 0xfeff, r == 0x00ad,
				r < 0x20 && r != '\t' && r != '\r', r >= 0x7f && r < 0xa0:
				found = append(found, finding{name, i + 1, "hidden", "has U+" + strconv.FormatInt(int64(r), 16) + ", which is not seen: write it as an escape"})
			}
		}
	}
	return found
}
