// Command licences lists the modules that this repository compiles, each with its version,
// its licence, and what compiles it, and fails if the licence of one is not allowed.
//
//	go run ./internal/licences                 compares with docs/licences.md
//	go run ./internal/licences -update         writes docs/licences.md
//	go run ./internal/licences -sbom FILE      puts the licences into a CycloneDX bill of materials
//
// A module counts if one of its packages is compiled for a program, a test, an example or a
// benchmark of any of our modules; what go.mod mentions and nothing compiles does not. The
// licence is read from the files beside the compiled packages and above them, by sentences
// that only this licence has. What it does not know it does not guess.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	update := flag.Bool("update", false, "write docs/licences.md instead of comparing")
	var bills []string
	flag.Func("sbom", "put the licences into this CycloneDX file, in JSON; may be given again", func(name string) error {
		bills = append(bills, name)
		return nil
	})
	flag.Parse()
	do := func() error { return checkPage(*update) }
	if bills != nil {
		do = func() error { return completeBills(bills) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// checkPage compares docs/licences.md with what is compiled now, or writes it.
func checkPage(update bool) error {
	found, err := compiledBelow(".")
	if err != nil {
		return err
	}
	if err := check(found); err != nil {
		return err
	}
	name := filepath.Join("docs", "licences.md")
	if update {
		return os.WriteFile(name, page(found), 0o644)
	}
	have, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(have, page(found)) {
		return errors.New("the modules or their licences differ from docs/licences.md: run `make licences UPDATE=1` and look at the difference")
	}
	return nil
}
