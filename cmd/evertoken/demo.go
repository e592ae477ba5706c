package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
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
	return `Runs an authorization server with rotating refresh tokens and reuse detection, an API that checks every token, and workers that call it. Then it makes trouble. Exit code 1 if a request was rejected or a refresh token misused.`
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
	d, err := c.set(ctx, a)
	if err != nil {
		return err
	}
	defer d.clear()
	stopped := d.run(ctx)
	closing := a.finish(context.WithoutCancel(ctx), d.manager)
	return first(d.summary(a.stdout), closing, stopped, d.verdict())
}

// A demo is a server, a session on it, and those who use it.
type demo struct {
	demoCmd
	app     *app
	dir     string
	server  *oauthtest.Server
	store   *demoStore
	manager *refresh.Manager
	trouble *troublemaker
	board   *board
}

// demoGrace is how long the demo's server repeats a refresh whose answer was
// lost, as many servers do. Without it no client could survive that.
const demoGrace = 30 * time.Second

// set builds the stage. clear takes it down again.
func (c *demoCmd) set(ctx context.Context, a *app) (*demo, error) {
	dir, err := os.MkdirTemp("", "evertoken-demo-")
	if err != nil {
		return nil, err
	}
	d := &demo{demoCmd: *c, app: a, dir: dir, board: newBoard()}
	d.server = oauthtest.NewServer(oauthtest.Config{AccessTokenLifetime: c.TokenLife, Grace: demoGrace})
	d.trouble = newTroublemaker(d, c.Every, c.Seed)
	if err := d.logIn(ctx); err != nil {
		d.clear()
		return nil, err
	}
	return d, nil
}

// logIn starts the session.
func (d *demo) logIn(ctx context.Context) error {
	var err error
	if d.store, err = newDemoStore(d.dir); err != nil {
		return err
	}
	pair, err := d.server.Login(oauthtest.DefaultUser)
	if err != nil {
		return err
	}
	d.manager = refresh.NewManager(refresh.Config{
		OAuthClient:    oauth.NewClient(d.server.OAuthConfig()),
		Store:          d.store,
		Session:        "demo",
		CheckInterval:  max(d.TokenLife/4, time.Second), // all is faster here than in life
		RefreshTimeout: 2 * time.Second,
		Logger:         d.app.logger(),
		OnEvent: func(e refresh.Event) {
			d.board.event(e)
			d.trouble.hear(e.Kind)
		},
	})
	return d.manager.Start(context.WithoutCancel(ctx), pair)
}

func (d *demo) clear() {
	if d.manager != nil {
		d.manager.Stop()
	}
	d.server.Close()
	_ = os.RemoveAll(d.dir) // a temporary directory
}

// run lets it all happen, until the time is over or ctx ends. An error means
// that the output is gone.
func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.For)
	defer cancel()
	var cast sync.WaitGroup
	for i := range d.Workers {
		cast.Go(func() { d.work(ctx, i) })
	}
	if !d.NoFaults {
		cast.Go(func() { d.trouble.run(ctx, d.board.start.Add(d.For)) })
	}
	err := d.show(ctx)
	cancel()
	cast.Wait()
	return err
}

// pace is how long a worker rests between requests.
const pace = 100 * time.Millisecond

// work calls the API again and again. A request that has begun is finished.
func (d *demo) work(ctx context.Context, number int) {
	client := d.manager.Client()
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	rest := time.NewTimer(pace * time.Duration(number) / time.Duration(d.Workers)) // not all at once
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		start := time.Now()
		err := callAPI(context.WithoutCancel(ctx), client, d.server.Resource())
		d.board.request(time.Since(start), err)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// patience is how long a worker waits for an answer.
const patience = 15 * time.Second

// callAPI makes one request. It fails unless the API serves it.
func callAPI(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return unwrapURL(err)
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the API answered %s", resp.Status)
	}
	return err
}

// hurry has the session renewed, unless that is about to happen anyway.
func (d *demo) hurry(ctx context.Context) {
	st := d.manager.GetRefreshStatus()
	if st.TimeUntilRefresh < 2*time.Second || time.Now().Before(st.NextAttempt) || st.Unsaved {
		return
	}
	go func() { _ = d.manager.ForceRefresh(ctx) }() // its failure is what is wanted, and an event
}

// view is the picture of this moment.
func (d *demo) view(now time.Time) view {
	v := d.board.view(now)
	st := d.manager.GetRefreshStatus()
	v.total, v.life, v.workers, v.saves = d.For, d.TokenLife, d.Workers, d.store.saves()
	v.attempts = d.server.Requests(oauthtest.TokenEndpoint)
	v.left, v.due = st.TimeUntilExpiry, st.TimeUntilRefresh
	switch wait := st.NextAttempt.Sub(now); {
	case st.State == refresh.StateRetrying && wait > 0:
		v.state = fmt.Sprintf("failed, again in %s", seconds(wait))
	case st.NeedsRefresh:
		v.state = "under way"
	case st.Unsaved:
		v.state = fmt.Sprintf("in %s, but the token is not saved yet", seconds(v.due))
	}
	return v
}
