// Package demo shows a session that lives through trouble, on a server of its own.
package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
)

// Options say what a demo is to be like.
type Options struct {
	For       time.Duration // how long it runs
	Workers   int           // how many call the API at once
	TokenLife time.Duration // of access tokens
	Every     time.Duration // between two faults
	NoFaults  bool
	Seed      uint64 // of the order of the faults
	Plain     bool   // lines, also on a terminal

	Out    io.Writer
	Getenv func(string) string
	Logger *slog.Logger
	// Finish ends the manager and waits for what it has to save.
	Finish func(context.Context, *refresh.Manager) error
}

// Run runs a demo until its time is over or ctx ends, and prints its summary. A
// session that was not kept alive is an error.
func Run(ctx context.Context, o Options) error {
	d, err := set(ctx, o)
	if err != nil {
		return err
	}
	defer d.clear()
	stopped := d.run(ctx)
	closing := o.Finish(context.WithoutCancel(ctx), d.manager)
	return cmp.Or(d.summary(o.Out), closing, stopped, d.verdict())
}

// A demo is a server, a session on it, and the programs that use it.
type demo struct {
	Options
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
func set(ctx context.Context, o Options) (*demo, error) {
	dir, err := os.MkdirTemp("", "evertoken-demo-")
	if err != nil {
		return nil, err
	}
	d := &demo{Options: o, dir: dir, board: newBoard()}
	d.server = oauthtest.NewServer(oauthtest.Config{AccessTokenLifetime: o.TokenLife, Grace: demoGrace})
	d.trouble = newTroublemaker(d, o.Every, o.Seed)
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
		Logger:         d.Logger,
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
		return explain.Bare(err)
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
