package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// check returns an error that names each dependency whose licence is not allowed or not known.
func check(found []*dependency) error {
	var all []error
	for _, d := range found {
		among := allowed
		if !d.ships() {
			among = slices.Concat(allowed, allowedInTests)
		}
		if len(d.licences) == 0 {
			all = append(all, fmt.Errorf("%s %s: no licence that is known here; read it, and either teach identify.go its text or do without the module", d.path, d.version))
		}
		for _, l := range d.licences {
			if !slices.Contains(among, l) {
				all = append(all, fmt.Errorf("%s %s: licence %s is not one of %s", d.path, d.version, l, strings.Join(among, ", ")))
			}
		}
	}
	return errors.Join(all...)
}

// expression returns the licences as an SPDX expression. Of several all count: which parts
// of the module are under which is not read.
func (d *dependency) expression() string { return strings.Join(d.licences, " AND ") }

// ships reports whether programs of users compile d: with the command, with the packages of
// the root module, or with mcp.
func (d *dependency) ships() bool { return d.of["command"] || d.of["packages"] || d.of["mcp"] }

// parts returns what compiles d, for the page: what programs of users compile it with, or
// else what does.
func (d *dependency) parts() string {
	names := slices.Sorted(maps.Keys(d.of))
	if d.ships() {
		names = slices.DeleteFunc(names, func(name string) bool { return name != "command" && name != "packages" && name != "mcp" })
	}
	return strings.Join(names, ", ")
}

// page returns docs/licences.md.
func page(found []*dependency) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	write := func(ships bool) {
		b.WriteString("\n| module | version | licence | of |\n|---|---|---|---|\n")
		for _, d := range found {
			if d.ships() == ships {
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.path, d.version, d.expression(), d.parts())
			}
		}
	}
	b.WriteString("\n## What programs compile\n")
	write(true)
	b.WriteString("\n## What only tests, examples and measurements compile\n")
	write(false)
	return b.Bytes()
}

const head = `# Licences of dependencies

Written by ` + "`make licences UPDATE=1`" + `; ` + "`make licences`" + ` fails if a module, a version or a licence is another one, or if a
licence is not on the list in internal/licences/identify.go. [dependencies.md](dependencies.md) says why each is there.

"of" is what compiles the module: the evertoken command, packages that programs import, tests of the root module, or
another module, by its directory. Of what programs compile, tests and examples are not told. A module that go.mod mentions and nothing compiles is not listed. The licences are
read from the files beside and above the packages that are compiled; where a module has several, all are named.
`
