package main

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// quick is for the command that scripts run for every request: "evertoken token"
// with a living token in a plain file. It only reads that file, while listening for
// signals and building the parser of all commands takes as long as the rest of
// the program. The answer, which prints and returns the exit code, is what run
// would have given.
//
// Without an answer, run is to do the work. Nothing has been printed then.
func (a *app) quick(args []string) (answer func() int) {
	line, ok := quickLine(args)
	if !ok || a.choose(&line) != nil {
		return nil
	}
	p, err := a.loadProfile()
	if err != nil || p.store() != storeFile {
		return nil // a keyring may ask a person, who may lose patience
	}
	ctx := context.Background()
	s, err := a.openProfile(ctx, p)
	if err != nil {
		return nil
	}
	rec, err := s.store.Get(ctx, a.profile)
	if err != nil {
		// Reading again would not do: it has moved a damaged file aside.
		return func() int { return a.report(err) }
	}
	if !line.Token.enough(s.judge(rec), rec.Tokens) {
		return nil
	}
	return func() int { return a.report(line.Token.show(a, rec.Tokens)) }
}

// quickLine reads the command line of a token command with no other flags than
// --dir and --profile, once each. All others, and all mistakes, are for parse.
func quickLine(args []string) (line cli, ok bool) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "token" && !ok {
			ok = true
			continue
		}
		flag, value, joined := strings.Cut(word, "=")
		if !joined && len(args) > 0 {
			value, args = args[0], args[1:]
		}
		switch {
		case value == "", value[0] == '-', !utf8.ValidString(value):
			return cli{}, false // the parser minds a dash, and replaces what is no UTF-8
		case flag == "--dir" && line.Dir == "":
			line.Dir = kong.ExpandPath(value)
		case flag == "--profile" && line.Profile == "":
			line.Profile = value
		default:
			return cli{}, false
		}
	}
	return line, ok
}
