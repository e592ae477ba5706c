package main

import (
	"regexp"
	"slices"
	"strings"
)

// allowed lists the licences, by SPDX identifier, under which a dependency may be: all let
// programs of any licence be made of it, and ask for no more than that notices are kept.
var allowed = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "Unlicense", "Zlib"}

// allowedInTests lists the licences that are allowed besides where only tests, examples and
// measurements compile a module: we hand out no program with it.
var allowedInTests = []string{"MPL-2.0", "LicenseRef-public-domain"}

// A reading is what a person found in a file that identify does not know, or in one that
// names a licence of something else than code.
type reading struct {
	module, file string
	ignored      string // the licence in it that does not count; empty if the file as a whole does not
	why          string
}

var readings = []reading{
	{"modernc.org/memory", "LICENSE-LOGO", "", "the address of a picture"},
	{"modernc.org/sqlite", "LICENSE-3RD-PARTY.md", "", "tells the licences of other modules, which stand in these"},
	{"github.com/modelcontextprotocol/go-sdk", "LICENSE", "CC-BY", "that of the documentation, of which nothing is compiled"},
}

// A mark is a sentence, or parts of one in this order, that only one licence has.
type mark struct {
	licence string
	parts   *regexp.Regexp
}

// marks are tried on text in lower case, with single spaces and without punctuation.
var marks = []mark{
	{"Apache-2.0", regexp.MustCompile(`apache license,? version 2\.0`)},
	{"BSL-1.0", regexp.MustCompile(`boost software license version 1\.0`)},
	{"CC0-1.0", regexp.MustCompile(`cc0 1\.0 universal`)},
	{"Unlicense", regexp.MustCompile(`this is free and unencumbered software released into the public domain`)},
	{"LicenseRef-public-domain", regexp.MustCompile(`has been dedicated to the public domain by the authors`)},
	{"Zlib", regexp.MustCompile(`altered source versions must be plainly marked as such`)},
	{"MPL-2.0", regexp.MustCompile(`mozilla public license,? (version |v)?2\.0`)},
	{"EPL", regexp.MustCompile(`eclipse public license`)},
	{"CDDL", regexp.MustCompile(`common development and distribution license`)},
	{"AGPL", regexp.MustCompile(`(gnu )?affero general public license`)},
	{"LGPL", regexp.MustCompile(`gnu (lesser|library) general public license`)},
	{"GPL", regexp.MustCompile(`gnu general public license`)},
	{"SSPL-1.0", regexp.MustCompile(`server side public license`)},
	{"BUSL-1.1", regexp.MustCompile(`business source license`)},
	{"Elastic", regexp.MustCompile(`elastic license`)},
	{"PolyForm", regexp.MustCompile(`polyform [a-z]+ license`)},
	{"Commons-Clause", regexp.MustCompile(`commons clause`)},
	{"CC-BY", regexp.MustCompile(`creative commons attribution`)},
	{"JSON", regexp.MustCompile(`shall be used for good,? not evil`)},
	{"BSD-4-Clause", regexp.MustCompile(`all advertising materials mentioning features`)},
	{"non-commercial", regexp.MustCompile(`non-?commercial (use|purpose)`)},
}

var (
	redistribution = regexp.MustCompile(`redistributions? (and use )?(in|of) source .{0,60}(with or without modification|must retain)`)
	endorsement    = regexp.MustCompile(`(neither the names? .{0,200}|may not be used) to endorse or promote`)
	permission     = regexp.MustCompile(`permission is hereby granted,? free of charge,? to any person obtaining a copy`)
	fee            = regexp.MustCompile(`permission to use,? copy,? modify,? and(/or)? distribute this software for any purpose with or without fee is hereby granted`)
)

// identify returns the SPDX identifiers of the licences whose text stands in text, sorted,
// and of licences that are not allowed at least the family's name. None means that the text
// is not known.
func identify(text string) (found []string) {
	text = plain(text)
	for _, m := range marks {
		if m.parts.MatchString(text) {
			found = append(found, m.licence)
		}
	}
	// The Mozilla and the Eclipse licence name the GNU licences as secondary ones.
	if slices.Contains(found, "MPL-2.0") || slices.Contains(found, "EPL") {
		found = slices.DeleteFunc(found, func(l string) bool { return l == "GPL" || l == "LGPL" || l == "AGPL" })
	}
	if redistribution.MatchString(text) && !slices.Contains(found, "BSD-4-Clause") {
		found = append(found, choose(endorsement.MatchString(text), "BSD-3-Clause", "BSD-2-Clause"))
	}
	if permission.MatchString(text) {
		found = append(found, choose(strings.Contains(text, "permission notice shall be included"), "MIT", "MIT-0"))
	}
	if fee.MatchString(text) {
		found = append(found, choose(strings.Contains(text, "permission notice appear in all copies"), "ISC", "0BSD"))
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func choose(which bool, yes, no string) string {
	if which {
		return yes
	}
	return no
}

// apart is what stands between words without meaning: space, and marks of comments, lists
// and quotations.
var apart = regexp.MustCompile("(//+|[\\s*#>\"'`“”‘’])+")

// plain returns text in one line and in lower case.
func plain(text string) string { return apart.ReplaceAllString(strings.ToLower(text), " ") }
