package main

import (
	"runtime/debug"
)

// helpCmd prints help.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command to explain."`
}

// Run prints the help of the command it names, or of all.
func (c *helpCmd) Run(a *app) error {
	_, done, err := a.parse(new(cli), append(c.Command, "--help"))
	if err != nil && !done {
		return usage(err)
	}
	return nil
}

// versionCmd prints the version.
type versionCmd struct{}

// Run prints the module version that was built, and by which Go.
func (versionCmd) Run(a *app) error {
	version, goVersion := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
	}
	return a.print("evertoken %s (%s)", version, goVersion)
}
