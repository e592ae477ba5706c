package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// beginnings are the sentences by which licences are known, with the line breaks, marks of
// comments and quotation marks that they are found with.
var beginnings = map[string]string{
	"MIT": "The MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this\nsoftware … The above copyright notice and this " +
		"permission notice\nshall be included in all copies",
	"MIT-0":                    "Permission is hereby granted, free of charge, to any person obtaining a copy\nof this software to deal in it without restriction.",
	"BSD-2-Clause":             "Redistribution and use in source and binary forms, with or without\nmodification, are permitted provided that:\n1. Redistributions of source code must retain …",
	"BSD-3-Clause":             "// Redistribution and use in source and binary forms, with or without\n// modification, are permitted …\n//    * Neither the name of Google Inc. nor the names of its\n// contributors may be used to endorse or promote products",
	"BSD-4-Clause":             "Redistribution and use in source and binary forms, with or without modification, are permitted …\n3. All advertising materials mentioning features or use of this software",
	"ISC":                      "Permission to use, copy, modify, and/or distribute this software for any\npurpose with or without fee is hereby granted, provided that the above\ncopyright notice and this permission notice appear in all copies.",
	"0BSD":                     "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted.",
	"Apache-2.0":               "                Apache License\n           Version 2.0, January 2004",
	"MPL-2.0":                  "Mozilla Public License, version 2.0 … \"Secondary License\" means the GNU General Public License, Version 2.0, the GNU Lesser General Public License",
	"GPL":                      "GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007",
	"AGPL":                     "GNU AFFERO GENERAL PUBLIC LICENSE",
	"LGPL":                     "GNU LESSER GENERAL PUBLIC LICENSE",
	"SSPL-1.0":                 "Server Side Public License\nVERSION 1",
	"BUSL-1.1":                 "Business Source License 1.1",
	"LicenseRef-public-domain": "All of the code has been dedicated to the public\ndomain by the authors.",
	"Apache-2.0 AND MIT":       "Apache License, Version 2.0 … Permission is hereby granted, free of charge, to any person obtaining a copy … permission notice shall be included",
	"Commons-Clause AND MIT":   "\"Commons Clause\" License Condition v1.0 … Permission is hereby granted, free of charge, to any person obtaining a copy … permission notice shall be included",
	"JSON AND MIT":             "Permission is hereby granted, free of charge, to any person obtaining a copy … permission notice shall be included … The Software shall be used for Good, not Evil.",
	"BSD-3-Clause AND GPL":     "Redistribution and use in source and binary forms, with or without modification … neither the name of … may be used to endorse or promote … or the GNU General Public License",
	"MIT AND non-commercial":   "Permission is hereby granted, free of charge, to any person obtaining a copy for non-commercial use … permission notice shall be included",
	"":                         "All rights reserved. Ask us.",
}

func TestLicencesAreKnownByTheirSentences(t *testing.T) {
	for want, text := range beginnings {
		if got := strings.Join(identify(text), " AND "); got != want {
			t.Errorf("%q is taken for %q, want %q", text, got, want)
		}
	}
}

func TestLicenceThatIsNotAllowedFails(t *testing.T) {
	for _, tt := range []struct {
		licences, of, fails string
	}{
		{"MIT", "command", ""},
		{"Apache-2.0,BSD-3-Clause", "packages", ""},
		{"MPL-2.0", "bench", ""},
		{"MPL-2.0", "command", "licence MPL-2.0 is not"},
		{"MPL-2.0", "mcp", "licence MPL-2.0 is not"},
		{"GPL", "tests", "licence GPL is not"},
		{"MIT,AGPL", "bench", "licence AGPL is not"},
		{"", "bench", "no licence that is known"},
	} {
		d := &dependency{path: "example.com/m", version: "v1.0.0", of: map[string]bool{tt.of: true}}
		if tt.licences != "" {
			d.licences = strings.Split(tt.licences, ",")
		}
		err := check([]*dependency{d})
		if tt.fails == "" && err != nil || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
			t.Errorf("%q in %s: error %v, want one with %q", tt.licences, tt.of, err, tt.fails)
		}
	}
}

// A licence can stand beside a package that was copied into a module, and not at its top.
func TestLicencesBesideAPackageCount(t *testing.T) {
	top := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(top, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("COPYING", beginnings["MIT"])
	write("a/b/License.txt", beginnings["GPL"])
	write("a/license.go", "package a")
	write("c/LICENSE", "Ask us.")
	for dir, want := range map[string]string{"a": "MIT", "a/b": "GPL,MIT", "c": ""} {
		d := &dependency{path: "example.com/m", texts: map[string]bool{}}
		if err := textsFor(filepath.Join(top, filepath.FromSlash(dir)), top, d.texts); err != nil {
			t.Fatal(err)
		}
		got, err := d.read()
		if err != nil || strings.Join(got, ",") != want {
			t.Errorf("%s has licences %q and error %v, want %q", dir, got, err, want)
		}
	}
}

func TestPageNamesWhoCompilesAModule(t *testing.T) {
	found := []*dependency{
		{path: "example.com/a", version: "v1.0.0", licences: []string{"MIT"}, of: map[string]bool{"command": true, "tests": true, "mcp": true, "bench": true}},
		{path: "example.com/b", version: "v2.0.0", licences: []string{"Apache-2.0", "MIT"}, of: map[string]bool{"tests": true}},
	}
	got := string(page(found))
	ships, rest, _ := strings.Cut(got, "## What only tests")
	if want := "| example.com/a | v1.0.0 | MIT | command, mcp |\n"; !strings.Contains(ships, want) {
		t.Errorf("%q is not among what programs compile:\n%s", want, got)
	}
	if want := "| example.com/b | v2.0.0 | Apache-2.0 AND MIT | tests |\n"; !strings.Contains(rest, want) {
		t.Errorf("%q is not among what only tests compile:\n%s", want, got)
	}
}

func TestBillOfMaterialsHasOurLicences(t *testing.T) {
	found := []*dependency{{path: "example.com/a", version: "v1.0.0", licences: []string{"MIT", "Apache-2.0"}}}
	got, err := withLicences([]byte(`{"components":[{"name":"example.com/a","version":"v1.0.0","evidence":{"licenses":[]},"licenses":[{"license":{"id":"X"}}]}]}`), found)
	if err != nil || !strings.Contains(string(got), `"expression": "MIT AND Apache-2.0"`) || strings.Contains(string(got), "evidence") {
		t.Errorf("bill %s, error %v", got, err)
	}
	for _, bad := range []string{`{`, `{}`, `{"components":[]}`, `{"components":[{"name":"example.com/a","version":"v1.0.1"}]}`} {
		if _, err := withLicences([]byte(bad), found); err == nil {
			t.Errorf("no error for %s", bad)
		}
	}
}

// The list for all modules is compared by make licences; this test looks at what the root
// module compiles for the system that it runs on.
func TestWhatTheRootModuleCompilesStandsOnThePage(t *testing.T) {
	root := filepath.Join("..", "..")
	all, err := parts(root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "licences.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all[:3] {
		known := map[string]*dependency{}
		if err := p.list("linux", known); err != nil {
			t.Fatal(err)
		}
		for _, d := range known {
			if d.licences, err = d.read(); err != nil {
				t.Fatal(err)
			}
			if line := "| " + d.path + " | " + d.version + " | " + d.expression() + " |"; !strings.Contains(string(text), line) {
				t.Errorf("docs/licences.md has no line %q: run `make licences UPDATE=1`", line)
			}
			if err := check([]*dependency{d}); err != nil {
				t.Error(err)
			}
		}
		if len(known) < 5 {
			t.Errorf("%s: %d modules are found", p.name, len(known))
		}
	}
	if names := []string{all[0].name, all[1].name, all[2].name}; !slices.Equal(names, []string{"command", "packages", "tests"}) {
		t.Errorf("parts of the root module: %q", names)
	}
}
