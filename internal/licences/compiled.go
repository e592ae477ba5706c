package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A dependency is a module, in one version, that something of ours compiles.
type dependency struct {
	path, version string
	licences      []string        // SPDX identifiers, sorted; none if the texts are not known
	of            map[string]bool // what compiles it: parts of the root module, or directories of modules
	texts         map[string]bool // the files that licences were read from
}

// A part is what one run of go list looks at.
type part struct {
	name, dir string
	systems   []string // GOOS
	args      []string // flags and packages
}

// systems are those that the Makefile claims.
var systems = []string{"linux", "darwin", "windows", "freebsd"}

// parts returns what to look at in the modules below root. Of the root module it tells the
// command, the packages that programs import, and the rest; its names are words, and those
// of other modules their directories.
func parts(root string) ([]part, error) {
	all := []part{
		{"command", root, systems, []string{"./cmd/evertoken"}},
		{"packages", root, systems, []string{"./oauth/...", "./refresh/...", "./tokenstore/...", "./connect/..."}},
		{"tests", root, systems, []string{"-test", "-tags=real", "./..."}},
	}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata"):
			return filepath.SkipDir
		case name == "go.mod" && filepath.Dir(path) != filepath.Clean(root):
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			all = append(all, part{filepath.ToSlash(dir), filepath.Dir(path), systems[:1], []string{"-test", "-tags=real", "./..."}})
		}
		return nil
	})
	return all, err
}

// compiledBelow returns what the modules below root compile that is not of this repository,
// by path and version.
func compiledBelow(root string) ([]*dependency, error) {
	all, err := parts(root)
	if err != nil {
		return nil, err
	}
	known := map[string]*dependency{}
	for _, p := range all {
		for _, system := range p.systems {
			if err := p.list(system, known); err != nil {
				return nil, fmt.Errorf("%s for %s: %w", p.dir, system, err)
			}
		}
	}
	var found []*dependency
	for _, d := range known {
		if d.licences, err = d.read(); err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	slices.SortFunc(found, func(a, b *dependency) int { return strings.Compare(a.path+" "+a.version, b.path+" "+b.version) })
	return found, nil
}

// A listed is what go list says of a package.
type listed struct {
	Dir    string
	Module *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Path, Version, Dir string }
	}
	Error *struct{ Err string }
}

// list adds what p compiles for a system to known, by path and version.
func (p part) list(system string, known map[string]*dependency) error {
	args := append([]string{"list", "-deps", "-json=Dir,Module,Error"}, p.args...)
	cmd := exec.Command("go", args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go list: %w: %s", err, said.String())
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if l.Error != nil {
			return errors.New(l.Error.Err)
		}
		if err := p.add(l, known); err != nil {
			return err
		}
	}
}

// add adds the module of a package to known, unless it is Go's or ours.
func (p part) add(l listed, known map[string]*dependency) error {
	m := l.Module
	if m == nil || m.Main || m.Path == ours || strings.HasPrefix(m.Path, ours+"/") {
		return nil
	}
	path, version, top := m.Path, m.Version, m.Dir
	if r := m.Replace; r != nil {
		path, version, top = r.Path, r.Version, r.Dir
	}
	key := path + " " + version
	if known[key] == nil {
		known[key] = &dependency{path: path, version: version, of: map[string]bool{}, texts: map[string]bool{}}
	}
	known[key].of[p.name] = true
	return textsFor(l.Dir, top, known[key].texts)
}

const ours = "github.com/evertoken/evertoken"

// licenceFile matches the names of files that hold a licence.
var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([-._].*)?$`)

// textsFor adds the licence files in dir and in the directories above it, up to top.
func textsFor(dir, top string, texts map[string]bool) error {
	for {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if entry.Type().IsRegular() && licenceFile.MatchString(entry.Name()) && !strings.HasSuffix(entry.Name(), ".go") {
				texts[filepath.Join(dir, entry.Name())] = true
			}
		}
		if len(dir) <= len(top) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

// read returns the licences in the module's files. If one of the files is not known, none
// are: the others do not say what it adds.
func (d *dependency) read() (found []string, err error) {
	for name := range d.texts {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		licences := identify(string(text))
		at := slices.IndexFunc(readings, func(r reading) bool { return r.module == d.path && r.file == filepath.Base(name) })
		switch {
		case at >= 0 && readings[at].ignored == "":
			continue
		case at >= 0:
			licences = slices.DeleteFunc(licences, func(l string) bool { return l == readings[at].ignored })
		}
		if len(licences) == 0 {
			return nil, nil
		}
		found = append(found, licences...)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}
