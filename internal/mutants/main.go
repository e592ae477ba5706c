// Command mutants asks whether the tests notice when the code is wrong. It makes small
// mistakes in the packages that keep the promises of this module, one at a time, runs the
// tests that reach the place, and lists the mistakes with which all of them pass.
//
//	go run ./internal/mutants                           100 mutants, chosen at random
//	go run ./internal/mutants -count 0                  all of them, which takes hours
//	go run ./internal/mutants -only refresh/internal/gate -count 0
//	go run ./internal/mutants -for 10m -seed 7          as many as ten minutes allow
//	go run ./internal/mutants -only 'verdict.go.*condemn' -list
//	go run ./internal/mutants -count 0 -results f       go on where the last run stopped
//
// It negates conditions, exchanges && and ||, shifts comparisons by one, deletes
// statements, and takes the earlier for the later and the smaller for the greater.
//
// All mutants are compiled into one test binary of each package, and an environment
// variable chooses the one that is alive, so that a mutant costs no more than the tests
// that reach it. The sources are not touched: the go command reads the others through
// its -overlay. The tests of the package itself come first; those of the packages that
// use it are run for what these have not noticed.
//
// The tests with the tag "real" are among them where the servers are installed that they
// start. With -real=false they are not: what the others notice, they notice sooner. Tests
// that play for minutes what a shorter one shows too can be left out, such as
// -skip 'Crowd|Large'.
//
// With -results the mutants that were noticed are kept in a file, and later runs pass
// over them as long as the functions that they are in stay the same. Tests that are taken
// away or ask for less are not seen by that: delete the file then.
//
// A mutant that no test can notice because it behaves like the original is named, with
// the reason, in equivalent.txt.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"time"
)

// A place is a package whose code is mutated, with the packages whose tests answer for
// it besides its own.
type place struct {
	dir   string
	files *regexp.Regexp // nil: all
	users []string
}

var places = []place{
	{"refresh/internal/session", nil, []string{"refresh"}},
	{"refresh/internal/gate", nil, []string{"refresh"}},
	{"oauth/internal/wire", regexp.MustCompile(`^(answer|cause|codes|evidence|failure|judge|miss|overlooked)\.go$`), []string{"oauth"}},
	{"tokenstore", regexp.MustCompile(`^(file|replace)`), nil},
	{"tokenstore/redisstore", nil, nil},
	{"tokenstore/sqlstore", nil, []string{"tokenstore/sqlstore/drivertest"}}, // a module of its own
}

type options struct {
	seed    uint64
	count   int
	limit   time.Duration // of the whole run
	near    time.Duration // of the tests for one mutant
	only    *regexp.Regexp
	skip    *regexp.Regexp // nil: nothing
	list    bool
	own     bool
	results string
	servers bool // run the tests with the tag "real"
	workers int
	verbose bool
}

func main() {
	var o options
	only := flag.String("only", "", "mutate only where `expression` matches \"file:line function\"")
	skip := flag.String("skip", "", "run no tests whose names match `expression`")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "choose the sample by `number`")
	flag.IntVar(&o.count, "count", 100, "try so many mutants; 0 means all")
	flag.DurationVar(&o.limit, "for", 0, "begin no mutant after this `time`; 0 means no limit")
	flag.DurationVar(&o.near, "near", 30*time.Second, "run the fastest tests that reach a mutant, as many as take this `time` without it")
	flag.BoolVar(&o.own, "own", false, "run the tests of the mutated packages themselves, and no others")
	flag.BoolVar(&o.list, "list", false, "list the mutants, and run nothing")
	flag.StringVar(&o.results, "results", "", "keep what was noticed in a `file`, and do not try it again")
	flag.BoolVar(&o.servers, "real", true, "run the tests with the tag \"real\" as well, where their servers are installed")
	flag.IntVar(&o.workers, "p", 2, "run so many tests at a time")
	flag.BoolVar(&o.verbose, "v", false, "print every mutant and what has noticed it")
	flag.Parse()
	o.only = regexp.MustCompile(*only)
	if *skip != "" {
		o.skip = regexp.MustCompile(*skip)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	equivalent, err := readEquivalent(root)
	if err != nil {
		return err
	}
	s, err := mutate(root, places)
	if err != nil {
		return err
	}
	if stale := equivalent.unknown(s.mutants); len(stale) > 0 {
		return fmt.Errorf("%s names what is not there any more:\n%s", equivalentFile, stale)
	}
	chosen := sample(s.mutants, o, equivalent)
	if o.list {
		for _, m := range chosen {
			fmt.Println(m)
		}
		return nil
	}
	noticed, err := readResults(o.results)
	if err != nil {
		return err
	}
	chosen, before := noticed.without(chosen)
	c := count{noticed: before}
	for _, m := range s.mutants {
		if o.only.MatchString(m.where()) {
			c.mutants++
			if equivalent[m.key()] != "" {
				c.equivalent++
			}
		}
	}
	return c.judge(s, chosen, o, noticed)
}

// sample chooses mutants by the options, in a random order: those that are equivalent are
// left out.
func sample(all []*mutant, o options, equivalent equivalents) []*mutant {
	var chosen []*mutant
	for _, m := range all {
		if o.only.MatchString(m.where()) && equivalent[m.key()] == "" {
			chosen = append(chosen, m)
		}
	}
	random := rand.New(rand.NewPCG(o.seed, 0))
	random.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	if o.count > 0 && len(chosen) > o.count {
		chosen = chosen[:o.count]
	}
	if o.list {
		slices.SortFunc(chosen, func(a, b *mutant) int { return a.id - b.id })
	}
	return chosen
}

// A count is what came of the mutants that -only matches.
type count struct {
	mutants, equivalent, noticed, alive int
}

// judge runs the tests against each mutant, and prints those that live.
func (c *count) judge(s *species, chosen []*mutant, o options, noticed *results) error {
	begun := time.Now()
	l, err := build(s, chosen, o.servers)
	if err != nil {
		return err
	}
	defer l.close()
	fmt.Printf("%d of %d mutants to try, seed %d\n", len(chosen), len(s.mutants), o.seed)
	verdicts, err := l.judge(chosen, o, begun, noticed)
	if err != nil {
		return err
	}
	for _, v := range verdicts {
		switch {
		case v.killer != "":
			c.noticed++
		case v.tried:
			c.alive++
			fmt.Printf("\n%s\n", v.mutant)
			if v.tests == 0 {
				fmt.Println("  no test reaches it")
			}
		}
	}
	fmt.Printf("\n%d mutants: %d noticed, %d equivalent, %d lived, %d not run, in %v\n", c.mutants, c.noticed, c.equivalent, c.alive,
		c.mutants-c.noticed-c.equivalent-c.alive, time.Since(begun).Round(time.Second))
	if c.alive > 0 {
		return fmt.Errorf("%d mutants live: write a test for each, or name it in %s with the reason", c.alive, equivalentFile)
	}
	return nil
}
