package refresh_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/oauth"
)

var errDown = &oauth.Error{Op: "refresh", Kind: oauth.ErrTransient, Sent: true, Status: 503}

// A server that is down may take its time to say so. One session finds out.
func TestAServerThatIsDownIsTriedByOneSessionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{name: "https://as", takes: 20 * time.Millisecond, life: -time.Hour}
		e.fail(errDown)
		_, managers := manySessions(t, e, 500)
		time.Sleep(2 * minute)
		e.mu.Lock()
		e.takes, e.most = 20*time.Second, 0
		e.mu.Unlock()
		for _, m := range managers[:20] {
			go func() { _, _ = m.TokenContext(t.Context()) }()
		}
		time.Sleep(10 * minute)
		if e.most > 1 {
			t.Errorf("%d attempts at a time at a server that is down", e.most)
		}
		e.mu.Lock()
		e.takes = 20 * time.Millisecond
		e.mu.Unlock()
		e.fail(nil)
		e.live(10 * time.Hour)
		time.Sleep(5 * minute)
		alive(t, managers)
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
		if waited := time.Since(back); waited > 20*time.Second {
			t.Errorf("a caller waited for %v after the server was back", waited)
		}
	})
}
