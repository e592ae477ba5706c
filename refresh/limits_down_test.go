package refresh_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

var errDown = &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Status: 503}

// A server that is down may take its time to say so. One session finds out, but that
// callers do not wait for it: for them another one tries every second.
func TestAServerThatIsDownIsTriedByOneSessionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: -time.Hour}
		e.fail(errDown)
		p, managers := manySessions(t, e, 500)
		time.Sleep(2 * minute)
		if !p.Stats().Servers[0].Down {
			t.Error("the statistics do not say that the server is down")
		}
		e.slow(20 * time.Second)
		time.Sleep(10 * minute)
		if n := e.atATime(); n > 1 {
			t.Errorf("%d attempts at a time at a server that is down", n)
		}
		e.requests()
		for _, m := range managers[:20] {
			go func() { _, _ = m.TokenContext(t.Context()) }()
		}
		time.Sleep(minute)
		asked := e.requests()
		for i := 1; i < len(asked); i++ {
			if pause := asked[i].Sub(asked[i-1]); pause < time.Second {
				t.Errorf("two attempts within %v while callers wait", pause)
			}
		}
		if n := len(asked); n < 15 {
			t.Errorf("%d attempts while callers waited for half a minute", n)
		}
		e.slow(20 * time.Millisecond)
		e.fail(nil)
		e.live(10 * time.Hour)
		time.Sleep(5 * minute)
		alive(t, managers)
		if p.Stats().Servers[0].Down {
			t.Error("a server that answers counts as down")
		}
	})
}

// Attempts of our own become rare in a long outage. Callers who wait find out soon
// that it is over.
func TestACallerLearnsSoonThatAServerIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: -time.Hour}
		e.fail(errDown)
		_, managers := manySessions(t, e, 100)
		time.Sleep(20 * minute)
		var wg sync.WaitGroup
		for _, m := range managers[:10] {
			wg.Go(func() {
				if _, err := m.TokenContext(t.Context()); err != nil {
					t.Errorf("a caller who waited while the server came back got %v", err)
				}
			})
		}
		time.Sleep(3 * time.Second)
		e.fail(nil)
		e.live(10 * time.Hour)
		back := time.Now()
		wg.Wait()
		if waited := time.Since(back); waited > 3*time.Second {
			t.Errorf("a caller waited for %v after the server was back", waited)
		}
	})
}

// What one process finds out, others that share its store need not.
func TestF37_OtherProcessesHearThatAServerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(tokenstore.Memory)
		shared := func(cfg *refresh.PoolConfig) { cfg.Store = store }
		here := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: time.Hour}
		there := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: time.Hour}
		here.fail(errDown)
		there.fail(errDown)
		p, _ := manySessions(t, here, 0, shared)
		q, _ := manySessions(t, there, 0, shared)
		add := func(p *refresh.Pool, e *endpoint, n int) (managers []*refresh.Manager) {
			for i := range n {
				pair := e.pair()
				pair.ExpiresAt = pair.IssuedAt.Add(-time.Hour)
				m, err := p.Add(t.Context(), fmt.Sprintf("%p %d", e, i), pair)
				if err != nil {
					t.Fatal(err)
				}
				managers = append(managers, m)
			}
			return managers
		}
		add(p, here, 200)
		time.Sleep(5 * minute)
		managers := add(q, there, 200)
		time.Sleep(2 * time.Second)
		if n := len(there.requests()); n > 2 {
			t.Errorf("%d requests of a process that could have heard that the server is down", n)
		}
		here.fail(nil)
		there.fail(nil)
		time.Sleep(5 * minute)
		alive(t, managers)
	})
}
