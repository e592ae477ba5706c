package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/demo"
)

// demoCmd shows a session live through trouble.
type demoCmd struct {
	For       time.Duration `default:"60s" placeholder:"D" help:"How long it runs (default ${default})."`
	Workers   int           `default:"4" placeholder:"N" help:"How many workers call the API at once (default ${default})."`
	TokenLife time.Duration `default:"20s" placeholder:"D" help:"How long access tokens live (default ${default})."`
	Every     time.Duration `name:"fault-every" default:"8s" placeholder:"D" help:"How often something goes wrong (default ${default})."`
	NoFaults  bool          `help:"Let nothing go wrong."`
	Seed      uint64        `placeholder:"N" help:"Order of the faults, to see the same ones again."`
	Plain     bool          `help:"Print lines instead of drawing on the terminal."`
}

// Help is shown below the command's flags.
func (demoCmd) Help() string {
	return `Runs an authorization server with rotating refresh tokens and reuse detection, an API that checks every token, and workers that call it. Then it makes trouble. Exit code 1 if a request was rejected or a refresh token misused.

` + example("demo --for 20s", "demo --no-faults --workers 20")
}

// Validate is called by the command line's parser.
func (c *demoCmd) Validate() error {
	switch {
	case c.For <= 0, c.Every <= 0:
		return errors.New("--for and --fault-every must be more than 0")
	case c.Workers < 1 || c.Workers > 1000:
		return errors.New("--workers must be from 1 to 1000")
	case c.TokenLife < 3*time.Second:
		return errors.New("--token-life must be at least 3s")
	}
	return nil
}

// Run runs the demo and prints its summary.
func (c *demoCmd) Run(ctx context.Context, a *app) error {
	if c.Seed == 0 {
		c.Seed = uint64(rand.Uint32())
	}
	return demo.Run(ctx, demo.Options{
		For: c.For, Workers: c.Workers, TokenLife: c.TokenLife, Every: c.Every, NoFaults: c.NoFaults, Seed: c.Seed, Plain: c.Plain,
		Out: a.stdout, Getenv: a.getenv, Logger: a.logger(), Finish: a.finish,
	})
}
