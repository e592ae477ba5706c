package connect

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/evertoken/evertoken/internal/browser"
	"github.com/evertoken/evertoken/internal/sleep"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
	"github.com/evertoken/evertoken/refresh"
)

// again logs in once more at the same server, if the session there has ended. A login whose
// token was never taken is not repeated, nor one that can still be renewed. cause is why there
// was no token; nil: the API has refused it.
func (s *Session) again(ctx context.Context, seen *login, api *oauth.ProtectedResource, header http.Header, cause error) (*login, error) {
	if s.cfg.BearerOnly {
		if renewed, err := seen.renew(ctx); renewed || err != nil {
			return seen, err
		}
	}
	switch {
	case !seen.accepted.Load() || seen.granting:
		return nil, ErrRefused
	case seen.ended(ctx):
	case errors.Is(cause, oauth.ErrLoginRequired), !s.hasShownCurrent(seen):
		return seen, nil // another process has logged in meanwhile
	default:
		return nil, ErrRefused
	}
	return s.at(ctx, seen, api, header, gone{}, seen.manager.GetTokens())
}

// ended reports whether no renewal brings l's session back: the server has ended it, or it
// cannot be renewed.
func (l *login) ended(ctx context.Context) bool {
	if pair := l.manager.GetTokens(); pair == nil || pair.RefreshToken == "" {
		return true
	}
	if l.manager.GetRefreshStatus().State == refresh.StateLoginRequired {
		return true
	}
	_, err := l.manager.TokenContext(ctx)
	return errors.Is(err, oauth.ErrLoginRequired)
}

// begin goes on with the stored session, unless its pair is the one that the API has
// refused, or logs in.
func (s *Session) begin(ctx context.Context, api *oauth.ProtectedResource, p program, refused *oauth.TokenPair) (*login, error) {
	if s.cfg.Grant != nil {
		refresher, err := s.cfg.Grant(ctx, p.client, api)
		if err != nil {
			return nil, err
		}
		if refresher != nil {
			l := s.newLogin(api.Resource, p, refresher)
			l.moving.grant = func(ctx context.Context, client *oauth.Client) (*oauth.GrantRefresher, error) {
				return s.cfg.Grant(ctx, client, api)
			}
			return s.granted(ctx, l)
		}
	}
	l := s.newLogin(api.Resource, p, nil)
	l.accepted.Store(true) // what was stored was good for something
	stale, err := s.isStale(ctx, l, refused)
	switch {
	case err != nil:
	case stale:
		err = s.loginAnew(ctx, l, refused)
	default:
		err = s.loginOnce(ctx, l)
	}
	return started(l, err)
}

// granted starts a login that takes no person.
func (s *Session) granted(ctx context.Context, l *login) (*login, error) {
	l.accepted.Store(true)
	err := l.manager.Start(s.ctx, nil)
	if err == nil {
		_, err = l.manager.TokenContext(ctx)
	}
	return started(l, err)
}

// started returns l, or stops it if it could not be started.
func started(l *login, err error) (*login, error) {
	if err != nil {
		l.manager.Stop()
		return nil, err
	}
	return l, nil
}

// isStale reports whether no process can go on with the stored pair, although the server
// has not ended it: it is another client's, which the server has forgotten, or refused and
// without a refresh token, or bound to a key in spite of Config.BearerOnly.
func (s *Session) isStale(ctx context.Context, l *login, refused *oauth.TokenPair) (bool, error) {
	k, err := load[place](ctx, s.store(), placeRecord(s.cfg.URL, s.cfg.Account))
	if err != nil {
		return false, err
	}
	if p := k.value; p.Session == l.session && p.ClientID != l.client.Config().ClientID {
		return true, nil
	}
	if (refused == nil || refused.RefreshToken != "") && !s.cfg.BearerOnly {
		return false, nil
	}
	rec, err := s.store().Get(ctx, l.session)
	if err != nil {
		return false, nil // StartOrLogin says why
	}
	bound := s.cfg.BearerOnly && rec.Tokens != nil && !rec.Tokens.DPoPKey.IsZero() // which the program cannot present
	same := refused != nil && refused.RefreshToken == "" && rec.Tokens != nil && rec.Tokens.AccessToken == refused.AccessToken
	return bound || same, nil
}

// loginOnce starts l with the stored session, or by a login, one for all processes.
func (s *Session) loginOnce(ctx context.Context, l *login) error {
	w, err := s.wait(ctx, l, l.session)
	if err != nil {
		return err
	}
	defer w.over()
	found := true // and not logged in to here
	err = l.manager.StartOrLogin(s.ctx, func(ctx context.Context) (*oauth.TokenPair, error) {
		found = false
		return s.attempt(ctx, l, w)
	})
	if err == nil && found {
		err = s.checkClient(ctx, l)
	}
	if err != nil {
		return err
	}
	s.forgive(l)
	if found {
		if _, err := s.asAdopted(ctx, l); err != nil {
			return err
		}
	}
	return s.keepPlace(ctx, l)
}

// errOtherClient means that another process has logged in meanwhile, as another client than
// this one knew.
var errOtherClient = errors.New("connect: another process has become another client of the authorization server")

// checkClient returns errOtherClient if the session that was found is another client's. This
// process has to become that client: it would say of the session that it is its own, for
// which all others would log in anew.
func (s *Session) checkClient(ctx context.Context, l *login) error {
	k, err := load[place](ctx, s.store(), placeRecord(s.cfg.URL, s.cfg.Account))
	if p := k.value; err == nil && p.Session == l.session && p.ClientID != l.client.Config().ClientID {
		return errOtherClient
	}
	return err
}

// loginAnew is loginOnce where the stored pair is stale. Its manager would go on with that,
// and no other process may have replaced it yet.
func (s *Session) loginAnew(ctx context.Context, l *login, refused *oauth.TokenPair) error {
	name := loginRecord(l.session)
	w, err := s.wait(ctx, l, name)
	if err != nil {
		return err
	}
	defer w.over()
	unlock, err := s.lock(s.ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if stale, err := s.isStale(ctx, l, refused); err != nil || !stale {
		if err != nil {
			return err
		}
		return s.loginOnce(ctx, l) // another process has logged in
	}
	pair, err := s.attempt(s.ctx, l, w)
	if err != nil {
		return err
	}
	return l.manager.Start(s.ctx, pair)
}

// A wait is for the lock that a login has.
type wait struct {
	before kept[attempt] // what was known of the login when it began
	other  bool          // another process had the lock
	over   func()        // ends it; OnOtherLogin is not called any more
}

// wait begins to wait for the lock of that name.
func (s *Session) wait(ctx context.Context, l *login, name string) (*wait, error) {
	before, err := load[attempt](ctx, s.store(), loginRecord(l.session))
	if err != nil {
		return nil, err
	}
	w := &wait{before: before, other: before.value.open() && s.isHeld(ctx, name), over: func() {}}
	switch tell := s.cfg.OnOtherLogin; {
	case tell == nil:
	case w.other:
		tell()
	default:
		timer := time.AfterFunc(otherLogin, tell)
		w.over = func() { timer.Stop() }
	}
	return w, nil
}

// keepPlace remembers where the session is.
func (s *Session) keepPlace(ctx context.Context, l *login) error {
	p := placeOf(l)
	p.Metadata = s.announcedAt(ctx)
	return update(context.WithoutCancel(ctx), s.store(), placeRecord(s.cfg.URL, s.cfg.Account), p)
}

// attempt logs a person in, with the lock that w was for.
func (s *Session) attempt(ctx context.Context, l *login, w *wait) (*oauth.TokenPair, error) {
	w.over()
	now, err := load[attempt](ctx, s.store(), w.before.name)
	if err != nil {
		return nil, err
	}
	other := w.other || now.version != w.before.version
	if end := now.value.Ended; other && end != "" && end != endedDone {
		err := now.value.failure() // a person who has refused is not asked again for each process
		if end != endedFailed {
			s.decline(l, err)
		}
		return nil, err
	}
	if err := s.declined(l); err != nil {
		return nil, err
	}
	if s.cfg.LoginTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.cfg.LoginTimeout, errLate)
		defer cancel()
	}
	l.accepted.Store(false)
	l.began = time.Now()
	pair, err := s.authenticate(ctx, l, &now, other)
	after := context.WithoutCancel(ctx)
	if word, ended := endOf(ctx, err); ended && !now.value.keepsCode(err) {
		if err != nil && now.value.open() && !leavesCode(err) { // the person was asked
			s.decline(l, err)
		}
		// Without it, the processes that wait ask the person as well: no reason to lose the login.
		_ = now.save(after, s.store(), attempt{Began: now.value.Began, Ended: word})
	}
	if err != nil {
		return nil, err
	}
	// Before the pair is saved: a process that dies in between leaves the old pair, whose end
	// the server tells, and not a new one that seems to be another client's.
	_ = s.keepPlace(after, l)
	return pair, nil
}

// decline remembers how a login has ended that a person was asked for, so that later calls
// do not ask the person again. Connect asks again, and so does the next start.
func (s *Session) decline(l *login, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.denials == nil {
		s.denials = make(map[string]error)
	}
	s.denials[l.wants()] = err
}

// declined returns how a login like l has ended, or nil.
func (s *Session) declined(l *login) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denials[l.wants()]
}

// forgive forgets how a login like l has ended, since there is a session.
func (s *Session) forgive(l *login) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.denials, l.wants())
}

// wants tells logins apart by where they are and what they ask for.
func (l *login) wants() string { return l.session + "\x00" + wantsOf(l.client.Config()) }

// authenticate has a person log in: in the window that another process has left, or in one
// of this process's.
func (s *Session) authenticate(ctx context.Context, l *login, k *kept[attempt], other bool) (*oauth.TokenPair, error) {
	client := l.client
	begun := attemptOf(client.Config(), s.now())
	if s.cfg.Login != nil {
		if err := k.save(ctx, s.store(), begun); err != nil {
			return nil, err
		}
		return s.cfg.Login(ctx, client)
	}
	keep := func(req *oauth.LoginRequest) error {
		begun.Request = req
		return k.save(ctx, s.store(), begun)
	}
	if req := k.value.resumable(begun); req != nil {
		wait := windowStands - begun.Began.Sub(k.value.Began)
		if other { // this process waited for the one that has opened it
			wait = math.MaxInt64
		}
		pair, err := withWindowAfter(client, wait).ResumeLogin(ctx, req, keep)
		if err == nil || ctx.Err() != nil || errors.Is(err, oauth.ErrAccessDenied) || k.value.keepsCode(err) {
			return pair, err
		}
	}
	return client.AuthenticateKeeping(ctx, func(req *oauth.LoginRequest) error {
		if req.Answer == nil && l.kept && !client.Config().RequirePushedAuth { // where the server has looked at the request already
			if err := s.checkKnown(ctx, req.URL); err != nil {
				return err
			}
		}
		return keep(req)
	})
}

// withWindowAfter returns client with a window that opens only if the login takes so long.
func withWindowAfter(client *oauth.Client, wait time.Duration) *oauth.Client {
	cfg := client.Config()
	open := cfg.OpenBrowser
	if open == nil {
		open = browser.Open
	}
	cfg.OpenBrowser = func(ctx context.Context, address string) error {
		if err := sleep.For(ctx, wait); err != nil {
			return err // the login is over
		}
		return open(ctx, address)
	}
	return oauth.NewClient(cfg)
}

// stepUp logs in for what the API wants besides, unless another process has done so.
func (s *Session) stepUp(ctx context.Context, seen *login, want challenge.Challenge, api *oauth.ProtectedResource, header http.Header) (*login, error) {
	had := seen.manager.GetTokens()
	client, err := seen.client.StepUp(want)
	if errors.Is(err, oauth.ErrNoStepUp) && s.outlived(seen, want) {
		client, err = seen.client, nil // which asks for it already, and now once more
	}
	if err == nil {
		client, err = s.withMetadata(ctx, seen, client, api, header)
	}
	if err != nil {
		return nil, err
	}
	if seen.granting {
		return nil, ErrRefused // what was granted to the program is not for it to extend
	}
	if client.Config().ClientID != seen.client.Config().ClientID {
		return s.at(ctx, seen, api, header, gone{}, had) // the manager is that of the client before
	}
	next := &login{
		program: program{seen.issuer, client, seen.registered, seen.kept, seen.secretEnds}, resource: seen.resource, session: seen.session,
		moving: seen.moving, manager: seen.manager, requests: seen.requests,
	}
	seen.moving.adopt(client)
	name := loginRecord(seen.session)
	w, err := s.wait(ctx, next, name)
	if err != nil {
		return nil, err
	}
	defer w.over()
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s.adopted(ctx, seen, had) {
		next.accepted.Store(true) // as with what was stored
		return s.asAdopted(ctx, next)
	}
	pair, err := s.attempt(ctx, next, w)
	if err != nil {
		return nil, err
	}
	return next, seen.manager.UpdateTokens(pair)
}

// outlived reports whether an API that wants a login of late (max_age, RFC 9470 section 3) has
// taken that of l, which has become older than that since, as each does.
func (s *Session) outlived(l *login, want challenge.Challenge) bool {
	limit, told := want.MaxAge()
	pair := l.manager.GetTokens()
	if !told || !l.gives(need{want}) || pair == nil || pair.GrantedAt.IsZero() {
		return false
	}
	age := s.now().Sub(pair.GrantedAt)
	return age > max(limit, soon) && (l.accepted.Load() || s.cfg.BearerOnly)
}

// adopted reports whether another process has logged in since the pair had was obtained,
// whose session is then the manager's too.
func (s *Session) adopted(ctx context.Context, l *login, had *oauth.TokenPair) bool {
	_ = l.manager.StartOrLogin(ctx, func(context.Context) (*oauth.TokenPair, error) { return nil, ErrRefused })
	pair := l.manager.GetTokens()
	return pair != nil && had != nil && pair.GrantedAt.After(had.GrantedAt)
}

// asAdopted returns l as one that has asked for what the other process's login did, which may be
// something else.
func (s *Session) asAdopted(ctx context.Context, l *login) (*login, error) {
	k, err := load[place](ctx, s.store(), placeRecord(s.cfg.URL, s.cfg.Account))
	if err != nil {
		return nil, err
	}
	cfg := l.client.Config()
	own := wantsOf(cfg)
	cfg.Scopes, cfg.AuthParams = k.value.Scopes, k.value.AuthParams
	if p := k.value; p.Session == l.session && p.ClientID == cfg.ClientID && wantsOf(cfg) != own {
		l.client = oauth.NewClient(cfg)
	}
	return l, nil
}

// withMetadata returns the client for a login in place of l's, with what the server publishes now: a
// stored session has begun without, and endpoints may have moved, also that of logins alone.
func (s *Session) withMetadata(ctx context.Context, l *login, client *oauth.Client, api *oauth.ProtectedResource, header http.Header) (*oauth.Client, error) {
	had := endpointsOf(client.Config())
	moved := had != endpointsOf(l.moving.config())
	if !moved && api.Assumed {
		return client, nil
	}
	complete := !moved && client.Metadata() != nil
	if complete {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, moveLimit)
		defer cancel()
	}
	asked := *api
	asked.Scopes = nil // what a first login would ask for
	p, err := s.clientAt(ctx, &login{program: program{issuer: l.issuer, client: client}}, &asked, header, gone{})
	if complete && (err != nil || endpointsOf(p.client.Config()) == had && p.client.Config().ClientID == client.Config().ClientID) {
		return client, nil // which counts what it has come to ask for
	}
	return p.client, err
}
