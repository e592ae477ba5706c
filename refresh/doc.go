// Package refresh keeps API sessions alive: a [Manager] renews a session's
// access token before it expires, saves what the server hands back before
// any caller sees it, and asks for a login only when nothing else helps.
//
//	client := oauth.NewClient(oauth.Config{ClientID: "my-cli", TokenURL: "https://login.example.com/token"})
//	manager := refresh.NewManager(refresh.Config{OAuthClient: client, Store: store})
//	if err := manager.Start(ctx, tokens); err != nil { … }
//	defer manager.Stop()
//	resp, err := manager.Client().Get("https://api.example.com/me")
//
// # What is guaranteed
//
// A session is lost only when the server ended it. One refresh token is spent
// once, by one holder, however many goroutines or processes ask (they need a
// Store that is a tokenstore.Locker for the latter). An answer that got lost is
// asked for again within seconds. An outage is never taken for a logout. While
// the access token lives, callers get it at once, whatever the refresher is
// going through.
//
// # What ends a session
//
// One of a closed list of words by which servers say that a grant is over; after a lost
// answer, and within a minute of a renewal, only when it is said twice
// ([StateLoginRequired]). Anything else is waited for ([StateRetrying]). A refusal
// of the client, or a mistake in the configuration, is for the person who runs the program
// ([StateMisconfigured], [EventMisconfigured]). A refusal in no clear words that goes on
// for long after the access token has died is a suspicion ([StateSuspected],
// [ErrSuspected]): a login probably helps, and the session is tried ever more rarely for
// as long as it is kept. docs/verdicts.md in the repository has a row for each kind of answer.
//
// # Reading tokens
//
// [Manager.Transport] and [Manager.Client] put a fresh token on every request.
// [Manager.TokenContext] returns the current pair, [Manager.Token] makes the
// manager an oauth2.TokenSource, and [Manager.GetRequestMetadata] a gRPC
// credentials.PerRPCCredentials.
//
// # Where tokens go
//
// A session knows its APIs. Its tokens go to Config.AllowedOrigins, or, if there are none, to
// the first origin that they were used for; [AnyOrigin] lifts that. A request that the program
// makes for another origin is an error; a redirect that leads to one is followed without
// the token, and so is whatever comes after it. Tokens of a [Resource] go to its own origin.
//
// # Daemons
//
// A service with an account of its own needs no login and no first pair:
//
//	manager := refresh.NewManager(refresh.Config{OAuthClient: client.ClientCredentialsRefresher()})
//	err := manager.Start(ctx, nil)
//
// The manager obtains the first pair in the background, for as long as that takes, and
// every other one like it; so it does with a token exchange
// (oauth.TokenExchangeRefresher), with assertions of a platform for its workloads or of the
// service itself (JWTBearerRefresher), and with those of a company's identity provider for
// a person (IdentityAssertionRefresher). Such a session never needs a login: a server that
// refuses it is reported once ([EventMisconfigured]) and asked again more and more
// rarely, down to every ten check intervals.
//
// # Many sessions
//
// A [Pool] keeps the sessions of many users alive with one scheduler and a bounded
// number of workers. Each of them is a Manager with everything it promises, and has
// no goroutine and no timer of its own while it rests. They share what their server
// permits ([Limits]): crowds are spread, a server that is down is tried by one of them
// for all, and a Retry-After that several have got, or that comes with a 503, holds for
// all. [Renewal] says whether sessions that are not used are renewed.
//
// # Several processes
//
// Processes that share a Store with locks share its session. One of them refreshes,
// the others adopt; a login happens once; a logout ([Manager.Logout]) reaches all
// of them within a check interval. A process keeps the account it started with: if
// a person logs in to another account, it does not go on with that one. With
// Config.Follower a manager only reads what another program keeps alive.
//
// # Commands
//
// A command-line tool that ends after its work sets Config.ShortLived: it then
// spends nothing that it could not save. [Judge] tells it from the saved session
// alone whether there is anything to renew.
//
// # Concurrency
//
// All methods are safe for concurrent use. Callbacks run without any lock held.
// OnEvent is called by the goroutine that does the work, which waits for TokenStore, too:
// they should return soon and must not call Start, Stop, Close, UpdateTokens, ForceRefresh,
// Logout or [Pool.Drop]. A TokenStore that does not return within ten seconds has failed:
// callers get their token, and it is called again, but not before it has returned.
// OnRefreshFail and Reauthenticate run on a goroutine of their own and may call
// anything.
//
// # Time
//
// The wall clock decides and timers only wake, at least once per CheckInterval:
// sleep and clock steps do not matter. The monotonic clock is a second witness
// for the case that the wall clock is set back.
package refresh
