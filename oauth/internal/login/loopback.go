package login

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/internal/thishost"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Op is the operation that errors name.
const Op = "authorize"

// callbackPath is where logins return to unless Config.RedirectURL says other.
const callbackPath = "/callback"

// A Loopback receives the browser when it returns from a login (RFC 8252 section
// 7.3). It listens from Listen until Close.
type Loopback struct {
	// RedirectURL is where the browser is to return to.
	RedirectURL string

	path      string
	listeners []net.Listener
	server    *http.Server
	serving   sync.WaitGroup
	sent      atomic.Bool   // a browser is being sent to the last page
	shown     chan struct{} // closed when that was shown

	mu    sync.Mutex            // guards fresh; never held across I/O
	fresh map[net.Conn]struct{} // connections that have not sent anything yet
}

// Listen opens the port that redirectURL names, or a free one.
func Listen(ctx context.Context, redirectURL string) (*Loopback, *wire.Failure) {
	hosts, u, err := loopbackTarget(redirectURL)
	if err != nil {
		fail := wire.Misconfigured(Op, err)
		fail.Hint = "programs with a callback of their own use AuthCodeURL and Exchange"
		return nil, fail
	}
	lb := &Loopback{path: u.Path, fresh: make(map[net.Conn]struct{})}
	if lb.listeners, err = listenAll(ctx, new(net.ListenConfig).Listen, hosts, u.Port(), isLocalhost(u)); err != nil {
		return nil, listenError(redirectURL, u.Port(), err)
	}
	addr := lb.listeners[0].Addr().(*net.TCPAddr)
	host := u.Hostname()
	if redirectURL == "" {
		host = addr.IP.String()
	}
	u.Host = net.JoinHostPort(host, strconv.Itoa(addr.Port))
	lb.RedirectURL = u.String()
	return lb, nil
}

// loopbackTarget returns the addresses to listen on, and the redirect URL with
// defaults filled in.
func loopbackTarget(redirectURL string) ([]string, *url.URL, error) {
	if redirectURL == "" {
		return []string{"127.0.0.1", "::1"}, &url.URL{Scheme: "http", Host: "127.0.0.1", Path: callbackPath}, nil
	}
	u, err := url.Parse(redirectURL)
	if err != nil || u.Scheme != "http" || !thishost.Is(u.Hostname()) {
		return nil, nil, wire.Wrong("RedirectURL", "must be http on a loopback address for Authenticate")
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, nil, wire.Wrong("RedirectURL", "must have neither query nor fragment nor user information for Authenticate")
	}
	if isLocalhost(u) {
		return []string{"127.0.0.1", "::1"}, u, nil
	}
	return []string{u.Hostname()}, u, nil
}

// isLocalhost reports whether an address is by the name that means both address families to
// browsers.
func isLocalhost(u *url.URL) bool { return strings.EqualFold(u.Hostname(), "localhost") }

// A listenFunc is net.ListenConfig.Listen.
type listenFunc func(ctx context.Context, network, address string) (net.Listener, error)

// maxPorts bounds how many free ports are tried of which another program has one family.
const maxPorts = 10

// listenAll listens on the first host that works, or with every on the same port of each, and
// chooses another where that is left to it and another program has one of them.
func listenAll(ctx context.Context, listen listenFunc, hosts []string, port string, every bool) ([]net.Listener, error) {
	if port == "" {
		port = "0"
	}
	for tries := 1; ; tries++ {
		listeners, err := listenOn(ctx, listen, hosts, port, every)
		if port != "0" || !isInUse(err) || tries == maxPorts {
			return listeners, err
		}
	}
}

// listenOn listens on the first host that works. The name localhost means both
// address families to browsers, so there it takes the same port on every host
// that exists: on one left out, another program could receive the code. Only a family that this
// machine has not is left out, since what else is wrong with it may be that program's doing.
func listenOn(ctx context.Context, listen listenFunc, hosts []string, port string, every bool) ([]net.Listener, error) {
	var (
		listeners []net.Listener
		firstErr  error
	)
	for _, host := range hosts {
		l, err := listen(ctx, "tcp", net.JoinHostPort(host, port))
		switch {
		case err == nil:
			listeners = append(listeners, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
		case every && !isAbsent(err):
			closeAll(listeners)
			return nil, err
		case firstErr == nil:
			firstErr = err
		}
		if len(listeners) > 0 && !every {
			break
		}
	}
	if len(listeners) == 0 {
		return nil, firstErr
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// isInUse reports whether a port is taken. Windows has numbers of its own, such as
// WSAEADDRINUSE, which do not match those of the package syscall.
func isInUse(err error) bool {
	const wsaEADDRINUSE = syscall.Errno(10048)
	return errors.Is(err, syscall.EADDRINUSE) || (runtime.GOOS == "windows" && errors.Is(err, wsaEADDRINUSE))
}

// isAbsent reports whether this machine has no such address, or no such family of them.
func isAbsent(err error) bool {
	numbers := []syscall.Errno{syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT}
	if runtime.GOOS == "windows" {
		numbers = []syscall.Errno{10049, 10047, 10043} // WSAEADDRNOTAVAIL, WSAEAFNOSUPPORT, WSAEPROTONOSUPPORT
	}
	return slices.ContainsFunc(numbers, func(n syscall.Errno) bool { return errors.Is(err, n) })
}

// listenError says what to do about a port that cannot be had. A redirectURL that is
// empty leaves its choice to the system.
func listenError(redirectURL, port string, err error) *wire.Failure {
	if isInUse(err) {
		return &wire.Failure{
			Op: Op, Kind: wire.ErrTransient, Field: "RedirectURL",
			Err:  fmt.Errorf("port %s for the login's return is in use: %w", port, syscall.EADDRINUSE),
			Hint: "end the program that uses it (another login that waits?), configure another RedirectURL, or log in with a device code",
		}
	}
	if redirectURL == "" {
		fail := wire.Misconfigured(Op, fmt.Errorf("cannot listen for the login's return: %w", wire.CleanCause(err)))
		fail.Hint = "log in with a device code"
		return fail
	}
	fail := wire.Misconfigured(Op, wire.Wrong("RedirectURL", "names an address where the login's return cannot be received: %w", wire.CleanCause(err)))
	fail.Hint = "configure another RedirectURL, or log in with a device code"
	return fail
}

// serve answers browsers on behalf of l until Close.
func (lb *Loopback) serve(l *Login) {
	lb.shown = make(chan struct{})
	cb := newCallback(l, lb.path)
	cb.sent = func() { lb.sent.Store(true) }
	cb.shown = sync.OnceFunc(func() { close(lb.shown) })
	lb.server = &http.Server{
		Handler:                      cb,
		DisableGeneralOptionsHandler: true, // it would read whatever body OPTIONS * promises, for as long as that takes
		ConnState:                    lb.track,
		ReadHeaderTimeout:            10 * time.Second, // a browser sends its request at once
		MaxHeaderBytes:               64 << 10,         // codes can be long JWTs
		ErrorLog:                     silentLog(),
	}
	// Each connection ends with its answer. Those of other users of the machine, who can ask
	// for any path, would otherwise stay open for as long as the login runs.
	lb.server.SetKeepAlivesEnabled(false)
	for _, listener := range lb.listeners {
		lb.serving.Go(func() { _ = lb.server.Serve(listener) })
	}
}

// maxFresh bounds the connections on which no request has come yet: other users of the machine
// can open any number, and a program may have as few as 256 descriptors. A browser opens six to
// a host.
const maxFresh = 64

// track notes connections that a browser opened in advance. Where there are too many it ends
// any one of them, rather than refuse the new one: a browser's is there for an instant before its
// request comes, and a stranger's for as long as the stranger may keep it.
func (lb *Loopback) track(conn net.Conn, state http.ConnState) {
	if surplus := lb.note(conn, state); surplus != nil {
		_ = surplus.Close()
	}
}

// note keeps fresh, and returns a connection to end if those are too many.
func (lb *Loopback) note(conn net.Conn, state http.ConnState) net.Conn {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	delete(lb.fresh, conn)
	if state != http.StateNew {
		return nil
	}
	var surplus net.Conn
	if len(lb.fresh) >= maxFresh {
		for surplus = range lb.fresh { // in random order
			break
		}
		delete(lb.fresh, surplus)
	}
	lb.fresh[conn] = struct{}{}
	return surplus
}

// shutdownTime is how long a page may take to reach the browser, which is on the
// same machine.
const shutdownTime = 3 * time.Second

// Close frees the port and ends every connection, after the pages under way have
// been delivered. The login must be over.
func (lb *Loopback) Close() {
	lb.awaitLastPage()
	closeAll(lb.listeners)
	if lb.server == nil {
		return
	}
	// Shutdown would wait five seconds for each connection that a browser
	// opened in advance and never used.
	for _, conn := range lb.unused() {
		_ = conn.Close()
	}
	ctx, cancel := inSteps(shutdownTime)
	defer cancel()
	if lb.server.Shutdown(ctx) != nil {
		_ = lb.server.Close()
	}
	lb.serving.Wait()
}

// lastPageTime is how long the port is kept for a browser that was sent to the last page. It
// comes at once, unless it was closed meanwhile.
const lastPageTime = 2 * time.Second

func (lb *Loopback) awaitLastPage() {
	if !lb.sent.Load() {
		return
	}
	ctx, cancel := inSteps(lastPageTime)
	defer cancel()
	select {
	case <-lb.shown:
	case <-ctx.Done():
	}
}

// inSteps returns a context that ends after d, in which a time in which the whole machine
// stands still, or is too busy for us, counts as little: the browser cannot come then.
func inSteps(d time.Duration) (context.Context, context.CancelFunc) {
	const steps = 20
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for range steps {
			if sleep.For(ctx, d/steps) != nil {
				return
			}
		}
		cancel()
	}()
	return ctx, cancel
}

func (lb *Loopback) unused() []net.Conn {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	conns := make([]net.Conn, 0, len(lb.fresh))
	for conn := range lb.fresh {
		conns = append(conns, conn)
	}
	return conns
}
