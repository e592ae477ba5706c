// Command rooms measures what the layout of this repository promises. A package whose
// files all use each other's names is one room, whatever the files are called: a
// reader who wants to understand one of them has to understand all.
//
//	go run ./internal/rooms           for each package of each module, the largest loop of files
//	go run ./internal/rooms -v        the same, with the names of the files
//	go run ./internal/rooms -refresh  the files that one refresh of one session runs through
//
// Two files are in a loop when each uses names that the other declares, in as many
// steps as it takes. Methods and fields count as much as functions and types. Files
// that the present system does not compile, and tests, do not count.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	refresh := flag.Bool("refresh", false, "list the files that one scheduled refresh runs through")
	verbose := flag.Bool("v", false, "name the files of each loop")
	flag.Parse()
	show := func() error { return showLoops(*verbose) }
	if *refresh {
		show = showRefresh
	}
	if err := show(); err != nil {
		fmt.Fprintln(os.Stderr, "rooms:", err)
		os.Exit(1)
	}
}

func showLoops(verbose bool) error {
	packages, err := measure(".")
	if err != nil {
		return err
	}
	for _, p := range packages {
		loop := p.largestLoop()
		fmt.Printf("%-32s %3d files, largest loop %2d\n", p.dir, len(p.files), len(loop))
		if verbose && len(loop) > 1 {
			fmt.Println("\t" + strings.Join(loop, " "))
		}
	}
	return nil
}

func showRefresh() error {
	files, err := filesOfOneRefresh(".")
	if err != nil {
		return err
	}
	for _, file := range files {
		fmt.Println(file)
	}
	fmt.Printf("one scheduled refresh of one session in a File runs through %d files\n", len(files))
	if len(files) > mostFilesPerRefresh {
		return fmt.Errorf("these are more than %d", mostFilesPerRefresh)
	}
	return nil
}

// measure returns the packages of all modules below root, each with the directory it
// is in, as seen from root.
func measure(root string) ([]measured, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	modules, err := modulesBelow(root)
	if err != nil {
		return nil, err
	}
	var all []measured
	for _, module := range modules {
		packages, err := load(module)
		if err != nil {
			return nil, err
		}
		for _, p := range packages {
			uses, err := p.check()
			if err != nil {
				return nil, err
			}
			dir, err := filepath.Rel(root, p.Dir)
			if err != nil {
				return nil, err
			}
			all = append(all, measured{filepath.ToSlash(dir), p.GoFiles, uses})
		}
	}
	return all, nil
}

// A measured package: the directory it is in, its files, and which of them use which.
type measured struct {
	dir   string
	files []string
	uses  graph
}

// largestLoop returns the files of the largest loop, sorted: one file if no two use
// each other.
func (m measured) largestLoop() []string {
	var largest []string
	for _, loop := range m.uses.loops(m.files) {
		if len(loop) > len(largest) {
			largest = loop
		}
	}
	return largest
}
