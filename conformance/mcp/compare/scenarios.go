package main

import (
	"fmt"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// A scenario is what happens to bridges.
type scenario struct {
	name string
	// play has it happen. It calls begin when what counts begins.
	play func(*run) error
	// windows and registrations are as many as it takes, and another window if luck decides.
	windows, registrations int
	luck                   bool
	// cfg is what the server is like beside being strict.
	cfg oauthtest.Config
	// silent has it played a second time at a server that does not tell expires_in.
	silent bool
}

// grace is what a server must have for an answer that was lost with a process to be no
// loss of the session.
var grace = oauthtest.Config{Grace: 30 * time.Second}

// scenarios are all.
var scenarios = []scenario{
	{name: "first start", play: firstStart, windows: 1, registrations: 1, silent: true},
	{name: "start with a dead access token", play: startDead, silent: true},
	{name: "start after the session was revoked", play: startRevoked, windows: 1, silent: true},
	{name: "the session is revoked while they run", play: revokedRunning, windows: 1, silent: true},
	{name: "four expiries in a row", play: expiries, silent: true},
	{name: "503 at the token endpoint", play: unavailable, silent: true},
	{name: "wake after a sleep", play: wake, silent: true},
	{name: "the machine is restarted", play: restart, silent: true},
	{name: "the servers are restarted", play: serversRestart, silent: true},
	{name: "the servers are down", play: outage, silent: true},
	{name: "killed while registering", play: killedBy(oauthtest.RegistrationEndpoint, "", arrived), windows: 1, registrations: 1},
	{name: "killed when registered", play: killedBy(oauthtest.RegistrationEndpoint, "", committed), windows: 1, registrations: 2},
	{name: "killed with the window open", play: killedAtWindow, windows: 1, registrations: 1},
	{name: "killed when the code is sent", play: killedBy(oauthtest.TokenEndpoint, "authorization_code", arrived), windows: 1, registrations: 1},
	{name: "killed before the code is answered", play: killedBy(oauthtest.TokenEndpoint, "authorization_code", committed), windows: 2, registrations: 1},
	{name: "killed when the code is answered", play: killedBy(oauthtest.TokenEndpoint, "authorization_code", answered), windows: 1, registrations: 1, luck: true},
	{name: "killed while another refreshes", play: killedBeside},
	{name: "killed before a refresh is done", play: killedBy(oauthtest.TokenEndpoint, "refresh_token", arrived)},
	{name: "killed before a refresh is answered", play: killedBy(oauthtest.TokenEndpoint, "refresh_token", committed), cfg: grace},
	{name: "killed when a refresh is answered", play: killedBy(oauthtest.TokenEndpoint, "refresh_token", answered), cfg: grace},
	{name: "killed when connected", play: killedConnected},
	{name: "stdin ends while a login is pending", play: endPending(false), windows: 1, registrations: 1},
	{name: "SIGTERM while a login is pending", play: endPending(true), windows: 1, registrations: 1},
}

func firstStart(r *run) error {
	r.begin()
	_, err := r.start(instances)
	return err
}

func startDead(r *run) error {
	if err := r.loggedIn(); err != nil {
		return err
	}
	r.begin()
	_, err := r.start(instances)
	return err
}

func startRevoked(r *run) error {
	if err := r.loggedIn(); err != nil {
		return err
	}
	r.as.RevokeAll(oauthtest.DefaultUser)
	r.begin()
	_, err := r.start(instances)
	return err
}

func revokedRunning(r *run) error {
	all, err := r.start(instances)
	if err != nil {
		return err
	}
	r.outlive() // a refusal soon after a renewal is asked about twice
	r.as.RevokeAll(oauthtest.DefaultUser)
	r.begin()
	r.connected = r.call(all)
	return nil
}

func expiries(r *run) error {
	all, err := r.start(instances)
	if err != nil {
		return err
	}
	r.begin()
	r.connected = 0
	for end := time.Now().Add(4*r.life + r.life/2); time.Now().Before(end); time.Sleep(r.life / 10) {
		r.connected = max(r.connected, r.call(all))
	}
	return nil
}

func unavailable(r *run) error {
	all, err := r.start(instances)
	if err != nil {
		return err
	}
	r.begin()
	r.setBroken(true)
	r.outlive()
	return r.during(all, func() error {
		time.Sleep(r.outage / 4)
		r.setBroken(false)
		return nil
	})
}

// during has calls begin, and measures from the end of what happens meanwhile until they
// are answered.
func (r *run) during(all []*bridge, happens func() error) error {
	answered := make(chan time.Time, 1)
	go func() {
		r.call(all)
		answered <- time.Now()
	}()
	if err := happens(); err != nil {
		return err
	}
	over := time.Now()
	r.connected = max(0, (<-answered).Sub(over))
	return nil
}

func wake(r *run) error {
	all, err := r.start(instances)
	if err != nil {
		return err
	}
	r.begin()
	for _, b := range all {
		b.signal(syscall.SIGSTOP)
	}
	r.down() // its connections do not outlive the sleep
	r.outlive()
	if err := r.up(); err != nil {
		return err
	}
	for _, b := range all {
		b.signal(syscall.SIGCONT)
	}
	r.connected = r.call(all)
	return nil
}

func restart(r *run) error {
	all, err := r.start(instances)
	if err != nil {
		return err
	}
	for _, b := range all {
		b.signal(syscall.SIGKILL)
	}
	for _, b := range all {
		b.kill()
	}
	if err := r.home.boot(); err != nil {
		return err
	}
	r.outlive()
	r.begin()
	_, err = r.start(instances)
	return err
}

// serversRestart has calls go out on connections that the servers have just closed.
func serversRestart(r *run) error {
	all, err := r.start(instances)
	if err != nil {
		return err
	}
	r.begin()
	r.connected = 0
	for range 3 {
		r.call(all)
		r.down()
		if err := r.up(); err != nil {
			return err
		}
		r.connected = max(r.connected, r.call(all))
	}
	return nil
}

func outage(r *run) error {
	all, err := r.start(instances)
	if err != nil {
		return err
	}
	r.begin()
	r.down()
	r.outlive()
	return r.during(all, func() error {
		time.Sleep(r.outage)
		return r.up()
	})
}

// killedBy has a process killed when its request is at a stage, while ten start.
func killedBy(path oauthtest.Endpoint, grant string, s stage) func(*run) error {
	return func(r *run) error {
		if grant == "refresh_token" {
			if err := r.loggedIn(); err != nil {
				return err
			}
		}
		r.begin()
		t := r.arm(path, grant, s)
		return r.killing(func(all []*bridge, _ results) ([]*bridge, error) { return r.caught(t, all) })
	}
}

// killedBeside has a process killed that waits for the refresh of another one.
func killedBeside(r *run) error {
	if err := r.loggedIn(); err != nil {
		return err
	}
	r.begin()
	t := r.arm(oauthtest.TokenEndpoint, "refresh_token", answered)
	return r.killing(func(all []*bridge, _ results) ([]*bridge, error) {
		i, err := r.owner(t, all)
		left, err := r.replace(all, (i+1)%len(all), err)
		close(t.found)
		return left, err
	})
}

// killedConnected has a process killed that has just begun to pass messages on.
func killedConnected(r *run) error {
	if err := r.loggedIn(); err != nil {
		return err
	}
	r.begin()
	return r.killing(func(all []*bridge, began results) ([]*bridge, error) {
		if err := <-began[all[0]]; err != nil {
			return nil, err
		}
		return r.replace(all, 0, nil)
	})
}

// results are where each bridge tells whether it is connected.
type results map[*bridge]chan error

// killing starts ten, lets one be killed, and waits until all others are connected.
func (r *run) killing(one func([]*bridge, results) ([]*bridge, error)) error {
	all, err := r.launch(instances)
	if err != nil {
		return err
	}
	began := make(results)
	begin := func(b *bridge) {
		c := make(chan error, 1)
		began[b] = c
		go func() { c <- b.initialize(r.limit) }()
	}
	for _, b := range all {
		begin(b)
	}
	left, err := one(all, began)
	if err != nil {
		return err
	}
	over := time.Now()
	for _, b := range left {
		if began[b] == nil {
			begin(b)
		}
	}
	for _, b := range left {
		if err := <-began[b]; err != nil {
			r.fail(err)
		}
	}
	r.connected = time.Since(over)
	return nil
}

// killedAtWindow kills the process that waits for the person: the one that listens.
func killedAtWindow(r *run) error {
	comeBack := r.leave()
	r.begin()
	return r.killing(func(all []*bridge, _ results) ([]*bridge, error) {
		defer comeBack()
		i, err := owner(all, redirectPort(<-r.opened), listening)
		return r.replace(all, i, err)
	})
}

// endPending ends a bridge whose login the person does not complete.
func endPending(bySignal bool) func(*run) error {
	return func(r *run) error {
		r.setTakes(-1)
		r.pending = true
		r.begin()
		all, err := r.launch(1)
		if err != nil {
			return err
		}
		go func() { _ = all[0].initialize(r.limit) }()
		select {
		case <-r.opened:
		case <-time.After(r.limit):
			return fmt.Errorf("no window opened")
		}
		if bySignal {
			all[0].signal(syscall.SIGTERM)
			r.connected = all[0].awaitEnd(r.limit)
		} else {
			r.connected = all[0].end(r.limit)
		}
		return nil
	}
}
