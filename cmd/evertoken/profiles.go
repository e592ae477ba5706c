package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
	"github.com/evertoken/evertoken/internal/outside"
)

// profilesCmd lists the profiles.
type profilesCmd struct {
	JSON bool `help:"Print a JSON array, for scripts."`
}

// Help is shown below the command's flags.
func (profilesCmd) Help() string {
	return `Asks neither server nor keyring; "evertoken status --profile NAME" tells more about one. The current profile has an asterisk.

` + example("profiles", "profiles --json")
}

// A listed is a profile as it is listed.
type listed struct {
	Name     string `json:"name"`
	Current  bool   `json:"current"`
	Server   string `json:"server,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	Dialect  string `json:"dialect,omitempty"`
	Store    string `json:"store,omitempty"`
	Error    string `json:"error,omitempty"`
}

// Run prints a line for each profile.
func (c *profilesCmd) Run(a *app) error {
	dir, err := a.directory()
	if err != nil {
		return err
	}
	names, err := profile.Names(dir)
	if err != nil {
		return err
	}
	profiles := []listed{} // [] in JSON, if there are none
	for _, name := range names {
		profiles = append(profiles, a.listed(profile.File{Dir: dir, Name: name}))
	}
	if c.JSON {
		return a.printJSON(profiles)
	}
	if len(profiles) == 0 {
		a.say("There are no profiles yet: %s.", a.guide().LoginAdvice())
		return nil
	}
	return a.printProfiles(profiles)
}

func (a *app) listed(file profile.File) listed {
	l := listed{Name: file.Name, Current: file.Name == a.Profile}
	p, err := file.Load()
	if err != nil {
		l.Error = err.Error()
		return l
	}
	l.Server, l.ClientID, l.Store = p.Server(), p.ClientID, p.Kind()
	if p.Backend != nil {
		l.Dialect = p.Backend.Named
	}
	return l
}

func (a *app) printProfiles(profiles []listed) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, l := range profiles {
		mark := " "
		if l.Current {
			mark = "*"
		}
		line := []string{mark + " " + l.Name, l.Server, cmp.Or(l.ClientID, l.Dialect), l.Store}
		if l.Error != "" {
			line = []string{line[0], l.Error}
		}
		for i := range line {
			line[i] = outside.Show(line[i])
		}
		if _, err := fmt.Fprintln(table, strings.Join(line, "\t")); err != nil {
			return err
		}
	}
	return table.Flush()
}

// printJSON prints a value as JSON that a terminal can show.
func (a *app) printJSON(value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.stdout, outside.JSON(data)+"\n")
	return err
}

// noProfile is the error for a profile that no login has made. Where there are others,
// the name may be mistyped, so it tells theirs, beginning with the most similar one.
func (a *app) noProfile() error {
	if others := a.others(); len(others) > 0 {
		return exit.New(exit.Login, fmt.Sprintf("there is no profile %q, only %s", a.Profile, strings.Join(others, ", ")),
			"choose one with --profile "+others[0]+", or run "+a.loginCommand(true))
	}
	return exit.New(exit.Login, "not logged in", a.guide().LoginAdvice())
}

// others lists the profiles that there are, those first whose names are most like
// that of the current one.
func (a *app) others() []string {
	dir, err := a.directory()
	if err != nil {
		return nil
	}
	names, _ := profile.Names(dir) // those that can be read
	names = profile.Nearest(a.Profile, names)
	const most = 5 // that a message has room for
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return names
}
