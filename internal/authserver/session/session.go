// Package session keeps what logins gave: the sessions of users, their access
// tokens, and the family of refresh tokens that each session has, with grace
// windows and what follows from reuse.
//
// It knows no HTTP: the token endpoint and the JSON backends ask it in their own
// ways. No lock is held while a store is asked.
package session

import (
	"context"
	"sync"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// A Store keeps the refresh tokens that can be spent, by hash, with a string as user
// data.
type Store interface {
	Set(ctx context.Context, token string, userData any, expiry time.Time) error
	Get(ctx context.Context, token string) (any, error)
	Delete(ctx context.Context, token string) error
	Cleanup(ctx context.Context) (int, error)
}

// A Config says what sessions are like. Store, Missing and the lifetimes are
// required. What the fields do is told where the program sets them: see
// oauthtest.Config and oauthtest.Quirks.
type Config struct {
	Store        Store
	Missing      func(error) bool // reports whether an error of Store means that it has no such token
	DefaultScope string

	AccessTokenLifetime, RefreshTokenLifetime, GrantLifetime time.Duration

	OfflineScope            bool
	ReduceScope             string
	NoRotation              bool
	SlidingRefresh          bool
	ScopeOnRefresh          bool
	NoReuseDetection        bool
	Grace                   time.Duration
	ForkSuccessors          bool
	RevokeOldAccess         bool
	SingleSession           bool
	AnnounceRefreshLifetime bool
	JWTRefreshTokens        bool

	GraceRepeats                bool
	GraceUntilUse               bool
	ReuseEndsOneSession         bool
	RevokedIsReused             bool
	FailureSpends               bool
	AccessRevocationEndsSession bool
	UnknownRevocationFails      bool
	SameSecondSameAccess        bool
	RefreshTokenLength          int
}

// Needs are what sessions ask of the server around them. All are required.
type Needs struct {
	Now      func() time.Time
	Keys     *keys.Ring
	Secret   string // that refresh tokens are derived from
	Issuer   string
	Resource string // audience of access tokens that name none
	// AllowsRefresh reports whether a client may have refresh tokens.
	AllowsRefresh func(clientID string) bool
	// OnRevoked hears that a client has revoked the refresh token with this hash.
	OnRevoked func(hash string)
}

// Sessions are all sessions of a server. They are safe for concurrent use.
type Sessions struct {
	cfg Config
	Needs

	mu          sync.Mutex               // guards what follows; never held across a Store's work
	sessions    map[string]*session      // by session ID
	tokens      map[string]*refreshState // by hash of the refresh token
	claims      map[string]chan struct{} // refresh tokens being spent, by hash
	refreshes   int
	lastCleanup time.Time
}

// New returns sessions, of which there are none yet.
func New(cfg Config, needs Needs) *Sessions {
	return &Sessions{
		cfg: cfg, Needs: needs,
		sessions: make(map[string]*session),
		tokens:   make(map[string]*refreshState),
		claims:   make(map[string]chan struct{}),
	}
}

// A Grant is what one login gave. Its JSON form is the user data in the Store.
type Grant struct {
	Session   string   `json:"session"`
	User      string   `json:"user"`
	Client    string   `json:"client"`
	Scope     string   `json:"scope"`
	Resources []string `json:"resources,omitempty"`
	LoginUnix int64    `json:"auth_time"`
	JKT       string   `json:"jkt,omitempty"` // of the DPoP key at login
	Nonce     string   `json:"-"`             // only of the first ID token
	Actor     string   `json:"-"`             // who acts for the user (RFC 8693 section 4.1); "" for the client
	FirstFor  []string `json:"-"`             // resources of the first access token; nil for all
}

// A session is a grant while it lasts. Sessions.mu guards it.
type session struct {
	Grant
	ended     bool
	serial    int // of the newest access token
	minSerial int // older access tokens are dead
	killed    map[string]bool
	live      map[string]bool // hashes of the refresh tokens that can be spent
	expires   time.Time       // when its last token expires
	used      int             // serial of the newest access token that the resource has seen
	revoked   bool            // its client has revoked it
	minted    mint            // the newest access token, for SameSecondSameAccess
}

// A refreshState is what the server remembers of a refresh token. Sessions.mu
// guards it.
type refreshState struct {
	session *session
	expires time.Time
	spentAt time.Time // zero if it was not spent
	next    string    // hash of the newest successor
	forks   int       // how many successors it has
	serial  int       // of the access token that it was first spent for
	first   firstAnswer
}

// A firstAnswer is what a refresh token got when it was spent.
type firstAnswer struct {
	fields map[string]any
	at     time.Time
}

// NewGrant returns a grant for a login that happens now.
func (s *Sessions) NewGrant(user, client, scope string) Grant {
	if scope == "" {
		scope = s.cfg.DefaultScope
	}
	return Grant{Session: secret.New(8), User: user, Client: client, Scope: scope, LoginUnix: s.Now().Unix()}
}

// End ends the sessions that match: none of their tokens works any more.
func (s *Sessions) End(ctx context.Context, match func(Grant) bool) {
	s.end(ctx, func(se *session) bool { return match(se.Grant) })
}

// EndUser ends all sessions of user.
func (s *Sessions) EndUser(ctx context.Context, user string) {
	s.End(ctx, func(g Grant) bool { return g.User == user })
}

// EndClient ends all sessions with a client.
func (s *Sessions) EndClient(ctx context.Context, clientID string) {
	s.End(ctx, func(g Grant) bool { return g.Client == clientID })
}

// EndSession ends one session.
func (s *Sessions) EndSession(ctx context.Context, id string) {
	s.End(ctx, func(g Grant) bool { return g.Session == id })
}

// end calls match with mu held.
func (s *Sessions) end(ctx context.Context, match func(*session) bool) {
	var hashes []string
	s.mu.Lock()
	for _, se := range s.sessions {
		if se.ended || !match(se) {
			continue
		}
		se.ended = true
		for hash := range se.live {
			hashes = append(hashes, hash)
		}
		clear(se.live)
	}
	s.mu.Unlock()
	for _, hash := range hashes {
		// A store that fails keeps a token that ended sessions make useless.
		_ = s.cfg.Store.Delete(ctx, hash)
	}
}

// ExpireAccess makes the access tokens that user has now invalid.
func (s *Sessions) ExpireAccess(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, se := range s.sessions {
		if se.User == user {
			se.minSerial = se.serial + 1
		}
	}
}

// Count returns how many sessions of user have not ended or expired.
func (s *Sessions) Count(user string) int {
	now, n := s.Now(), 0
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, se := range s.sessions {
		if se.User == user && !se.ended && now.Before(se.expires) {
			n++
		}
	}
	return n
}

// Refreshes returns how many refreshes were carried out.
func (s *Sessions) Refreshes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refreshes
}

// Remembered returns how many refresh tokens are remembered, and how many of them
// can be spent.
func (s *Sessions) Remembered() (all, live int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, se := range s.sessions {
		live += len(se.live)
	}
	return len(s.tokens), live
}

// tidyInterval is how often expired state is dropped: often enough for a test
// that runs for days of fake time, and rarely enough to cost nothing.
const tidyInterval = time.Minute

// tidy forgets what has expired, if it is time to.
func (s *Sessions) tidy(ctx context.Context) {
	now := s.Now()
	s.mu.Lock()
	due := now.Sub(s.lastCleanup) >= tidyInterval
	if due {
		s.lastCleanup = now
		s.forgetLocked(now)
	}
	s.mu.Unlock()
	if due {
		// Cleaning up is a courtesy to the store; expired tokens are refused anyway.
		_, _ = s.cfg.Store.Cleanup(ctx)
	}
}

func (s *Sessions) forgetLocked(now time.Time) {
	for hash, t := range s.tokens {
		if now.After(t.expires) {
			delete(s.tokens, hash)
			delete(t.session.live, hash)
		}
	}
	for id, se := range s.sessions {
		if now.After(se.expires) {
			delete(s.sessions, id)
		}
	}
}
