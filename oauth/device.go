package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/internal/outside"
	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth/internal/lifetime"
	"github.com/evertoken/evertoken/oauth/internal/login"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A DeviceCode is a device login that waits for its person (RFC 8628 section
// 3.2). It prints redacted: the device code is what the tokens are given for.
type DeviceCode struct {
	// DeviceCode is the secret that DeviceToken redeems.
	DeviceCode string `json:"device_code"`
	// UserCode is what the person enters.
	UserCode string `json:"user_code"`
	// VerificationURI is where the person enters it. Show its host, so that a
	// person who was sent a code by an attacker can notice (RFC 8628 section
	// 5.4). It is in ASCII, with the host as DNS has it (xn--), so that no other
	// script makes it look like another one.
	VerificationURI string `json:"verification_uri"`
	// VerificationURIComplete includes the user code, in ASCII too. It may be empty.
	VerificationURIComplete string `json:"verification_uri_complete,omitempty"`
	// ExpiresAt is when the code ends, by the local clock.
	ExpiresAt time.Time `json:"expires_at"`
	// Interval is the least time between two polls.
	Interval time.Duration `json:"interval"`
}

// String describes the code without its secrets.
func (d DeviceCode) String() string {
	return fmt.Sprintf("oauth.DeviceCode{uri:%q code:%s expires:%s}",
		wire.WithoutQuery(d.VerificationURI), wire.Presence(d.DeviceCode), d.ExpiresAt.UTC().Format(time.RFC3339))
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (d DeviceCode) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, d.String()) }

// LogValue implements slog.LogValuer.
func (d DeviceCode) LogValue() slog.Value { return slog.StringValue(d.String()) }

// DeviceLogin logs a person in on another device (RFC 8628): it prints an
// address and a code to Config.Output and waits until they were used. It needs no
// browser on this machine, which makes it the login for servers and SSH sessions.
//
// Lost connections and server trouble do not end it; it polls on until the code
// ends or ctx does. Programs with their own display use [Client.DeviceAuth] and
// [Client.DeviceToken]. Errors are of type [*Error], as told there. Safe for
// concurrent use.
func (c *Client) DeviceLogin(ctx context.Context) (*TokenPair, error) {
	code, err := c.DeviceAuth(ctx)
	if err != nil {
		return nil, err
	}
	c.showDeviceCode(code)
	pair, err := c.DeviceToken(ctx, code)
	if err != nil {
		return nil, err
	}
	c.warnWithoutRefreshToken(pair, OfflineAccess{Scope: c.OfflineAdvice().Scope})
	return pair, nil
}

func (c *Client) showDeviceCode(code *DeviceCode) {
	c.person().Say("To log in, open this address on any device:\n\n  %s\n\nand enter the code\n\n  %s\n\n", code.VerificationURI, code.UserCode)
	if code.VerificationURIComplete != "" {
		c.person().Say("This address has the code in it already:\n\n  %s\n\n", code.VerificationURIComplete)
	}
	host := code.VerificationURI
	if u, err := url.Parse(code.VerificationURI); err == nil {
		host = u.Host // in ASCII, as openable has made it
	}
	c.person().Say("Enter it only on a page at %s. The code ends at %s. Waiting; stop with Ctrl-C.\n",
		host, code.ExpiresAt.Local().Format(time.TimeOnly))
}

// DeviceAuth asks the server for a device code (RFC 8628 section 3.1). It sends
// one request. Errors are of type [*Error]; without Config.DeviceAuthURL, or if
// the server refuses the login in whatever word, it is [ErrMisconfigured]. Safe
// for concurrent use.
func (c *Client) DeviceAuth(ctx context.Context) (*DeviceCode, error) {
	if err := c.ready(opDevice, "DeviceAuthURL", c.cfg.DeviceAuthURL); err != nil {
		return nil, err
	}
	form := c.scopeForm(c.loginScopes())
	if resources := c.resources(ctx); len(resources) > 0 {
		form["resource"] = resources
	}
	a, fail := c.post(ctx, opDevice, c.cfg.DeviceAuthURL, form)
	if fail != nil {
		return nil, fail
	}
	code, fail := judgeDeviceAuth(a)
	if fail != nil {
		return nil, deviceRefusal(fail)
	}
	return code, nil
}

const (
	// defaultInterval is RFC 8628 section 3.2's for servers that name none, and
	// what slow_down adds (section 3.5).
	defaultInterval = 5 * time.Second
	// maxInterval is the longest interval believed; more is a unit error.
	maxInterval = 5 * time.Minute
	// defaultCodeLife is for servers that do not say when the code ends, though
	// section 3.2 requires it. Common are 10 and 15 minutes.
	defaultCodeLife = 15 * time.Minute
)

// judgeDeviceAuth reads the answer to a device authorization request: exactly
// one of code and error.
func judgeDeviceAuth(a *wire.Answer) (*DeviceCode, *Error) {
	fields := a.Fields()
	code := &DeviceCode{
		DeviceCode:              fields.Text("device_code"),
		UserCode:                fields.Text("user_code"),
		VerificationURI:         fields.Text("verification_uri"),
		VerificationURIComplete: fields.Text("verification_uri_complete"),
		ExpiresAt:               a.SentAt.Round(0).Add(deviceCodeLife(fields)),
		Interval:                deviceInterval(fields),
	}
	if code.VerificationURI == "" {
		code.VerificationURI = fields.Text("verification_url") // an early draft's name, still in use
	}
	code.VerificationURIComplete = openable(code.VerificationURIComplete)
	code.VerificationURI = openable(code.VerificationURI)
	enterable := member.UsableToken(code.UserCode) && len(code.UserCode) <= maxUserCode
	if wire.IsSuccess(a.Status) && member.UsableToken(code.DeviceCode) && enterable && code.VerificationURI != "" {
		return code, nil
	}
	return nil, (*Error)(a.Failure(fields))
}

const (
	// maxUserCode is the longest code that a person is asked to enter. RFC 8628 section 6.1
	// has eight characters; some are words.
	maxUserCode = 100
	// maxAddress is the longest address that a person is asked to open. Browsers take no
	// more, and typing it is out of the question long before.
	maxAddress = 2 << 10
)

// openable returns an address from a server as a person is told to open it, or "" for one
// that cannot be told: see outside.Address.
func openable(address string) string {
	shown, ok := outside.Address(address)
	if !ok || len(shown) > maxAddress {
		return ""
	}
	return shown
}

func deviceCodeLife(fields member.Fields) time.Duration {
	seconds, ok := fields.Seconds("expires_in")
	if !ok || !lifetime.Believable(seconds) {
		return defaultCodeLife
	}
	return time.Duration(seconds) * time.Second
}

func deviceInterval(fields member.Fields) time.Duration {
	seconds, ok := fields.Seconds("interval")
	if !ok || seconds <= 0 {
		return defaultInterval
	}
	return time.Duration(min(seconds, int64(maxInterval/time.Second))) * time.Second
}

// DeviceToken polls until the person has entered the code (RFC 8628 sections 3.4
// and 3.5), and returns the tokens. It waits code.Interval before every poll, five
// seconds longer for good after each slow_down, and longer still while the server
// cannot be reached, has trouble, or asks for it with Retry-After. A refusal that
// names no reason may be that of a proxy or gateway in front of the server, and
// does not end the polling either. It ends with the code, with ctx, or with the
// server's word: any error code but authorization_pending, slow_down and those of
// trouble. code is not modified; do not poll for one twice.
//
// Errors are of type [*Error]. [ErrAccessDenied] and [ErrCodeExpired] both match
// [ErrLoginRequired]: begin again with DeviceAuth. Error codes that are not known
// are [ErrMisconfigured]. The end of ctx matches its cause. Safe for concurrent
// use.
func (c *Client) DeviceToken(ctx context.Context, code *DeviceCode) (*TokenPair, error) {
	if err := c.ready(opDevice, "TokenURL", c.cfg.TokenURL); err != nil {
		return nil, err
	}
	if code == nil || code.DeviceCode == "" {
		return nil, misconfigured(opDevice, errors.New("there is no device code"))
	}
	p := devicePoll{interval: code.Interval, expiresAt: code.ExpiresAt}
	if p.interval <= 0 {
		p.interval = defaultInterval
	}
	if p.expiresAt.IsZero() {
		p.expiresAt = c.cfg.Now().Add(defaultCodeLife)
	}
	key := c.loginKey() // one for all polls
	for {
		wait, more := p.next(c.cfg.Now())
		if !more {
			return nil, p.expired()
		}
		if sleep.For(ctx, wait) != nil {
			return nil, (*Error)(login.Unfinished(ctx, opDevice))
		}
		pair, err := c.grantWith(ctx, opDevice, url.Values{
			"grant_type":  {"urn:ietf:params:oauth:grant-type:device_code"},
			"device_code": {code.DeviceCode},
		}, key)
		if err == nil {
			return c.checkLogin(ctx, opDevice, pair, "")
		}
		if fail, ok := errors.AsType[*Error](err); !ok || !p.goesOn(deviceRefusal(fail)) {
			return nil, err
		}
	}
}

var errDeviceRefused = errors.New("the server refuses the device login")

// deviceRefusal makes an error with a code that is not listed final, and returns
// it. RFC 8628 section 3.5 has two codes that ask to poll on; another one is a
// verdict even if this package does not know it, and its like would come until the
// code ends. A refusal without a code does not count as the server's word.
func deviceRefusal(fail *Error) *Error {
	if fail.Kind == ErrTransient && fail.Code != "" && fail.Verdict() == VerdictUnclear {
		fail.Kind, fail.Err = ErrMisconfigured, errDeviceRefused
	}
	return fail
}

// A devicePoll decides when to poll, and whether to go on.
type devicePoll struct {
	interval  time.Duration
	expiresAt time.Time
	failures  int       // polls in a row that brought no word from the server
	notBefore time.Time // Retry-After
	last      error     // the last poll's failure, pending and slow_down aside
}

// maxBackoff bounds the wait while the server cannot be reached, so that a login
// is noticed soon after it is back.
const maxBackoff = time.Minute

// next returns how long to wait before the next poll, and false if the code ends
// first. A wait lengthened by trouble is cut to poll once more before the end.
func (p *devicePoll) next(now time.Time) (time.Duration, bool) {
	wait := p.interval
	for range p.failures {
		wait = max(p.interval, min(2*wait, maxBackoff))
	}
	left := p.expiresAt.Sub(now.Round(0))
	if last := left - time.Second; wait > last && last >= p.interval {
		wait = last
	}
	wait = max(wait, p.notBefore.Sub(now.Round(0)))
	return wait, wait < left
}

// goesOn takes a failed poll into account and reports whether to poll again.
func (p *devicePoll) goesOn(fail *Error) bool {
	if fail.Kind != ErrTransient {
		return false
	}
	p.notBefore = fail.RetryAt
	switch fail.Code {
	case "authorization_pending":
		p.failures, p.last = 0, nil
	case "slow_down":
		p.failures, p.last = 0, nil
		p.interval += defaultInterval
	default:
		// No answer, a server in trouble, a proxy's page: RFC 8628 section 3.5
		// asks for exponential backoff.
		p.failures++
		p.last = fail
	}
	return true
}

// expired is the error for a code that ended by our clock. The last failure is
// told, since it may be why, but not wrapped: what to do is to begin again.
func (p *devicePoll) expired() *Error {
	fail := &Error{Op: opDevice, Kind: ErrLoginRequired, Err: ErrCodeExpired, Hint: "start the login again"}
	if p.last != nil {
		fail.Err = fmt.Errorf("%w (the last poll failed: %v)", ErrCodeExpired, p.last)
	}
	return fail
}
