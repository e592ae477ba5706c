package connect_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// A slowLocker is a Store whose lock of one session is late the first time.
type slowLocker struct {
	*tokenstore.Memory
	name          string
	once          sync.Once
	asked, served chan struct{}
}

func (s *slowLocker) Lock(ctx context.Context, name string) (tokenstore.Lease, error) {
	if name == s.name {
		s.once.Do(func() {
			close(s.asked)
			<-s.served
		})
	}
	return s.Memory.Lock(ctx, name)
}

// The server has forgotten the client. A process that knows the old one only finds the session
// of another process, which has become a new one. It becomes that, too, and does not say of the
// session that it is the old client's, for which the next process would open a window.
func TestF90_ASessionOfANewClientStaysThatClients(t *testing.T) {
	d := newDesk(t, oauthtest.Config{})
	var calls sync.WaitGroup
	start := func(when string, change ...func(*connect.Config)) {
		t.Helper()
		s := d.process(t, append(change, d.byBrowser)...)
		calls.Go(func() { mustCall(t, when, s) })
	}
	start("first")
	d.allow(t, <-d.window)
	calls.Wait()
	d.forget(t)
	d.logOut(t)

	slow := &slowLocker{
		Memory: d.store.(*tokenstore.Memory), name: connect.SessionName(d.server.Resource(), d.server.Issuer(), ""),
		asked: make(chan struct{}), served: make(chan struct{}),
	}
	start("with the old client", func(cfg *connect.Config) { cfg.Refresh.Store = slow })
	<-slow.asked
	start("with the new client")
	d.allow(t, <-d.window)
	for { // until that one has logged in
		if rec, err := d.store.Get(t.Context(), slow.name); err == nil && rec.Tokens.RefreshToken != "" {
			break
		}
		runtime.Gosched()
	}
	close(slow.served)
	calls.Wait()
	start("afterwards")
	calls.Wait()
	if n := d.windows.Load(); n != 2 {
		t.Errorf("%d windows; want 2", n)
	}
}
