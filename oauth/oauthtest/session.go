package oauthtest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A grant is what one login gave. Its JSON form is the user data in the
// RefreshTokenStore.
type grant struct {
	Session   string   `json:"session"`
	User      string   `json:"user"`
	Client    string   `json:"client"`
	Scope     string   `json:"scope"`
	Resources []string `json:"resources,omitempty"`
	LoginUnix int64    `json:"auth_time"`
	JKT       string   `json:"jkt,omitempty"` // of the DPoP key at login
	nonce     string   // only of the first ID token
	actor     string   // who acts for the user (RFC 8693 section 4.1); "" for the client
	firstFor  []string // resources of the first access token; nil for all
}

// A session is a grant while it lasts. Server.mu guards it.
type session struct {
	grant
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

// A refreshState is what the server remembers of a refresh token. Server.mu
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

// newGrant returns a grant for a login that happens now.
func (s *Server) newGrant(user, client, scope string) grant {
	if scope == "" {
		scope = s.cfg.DefaultScope
	}
	return grant{Session: randomID(8), User: user, Client: client, Scope: scope, LoginUnix: s.now().Unix()}
}

// hasScope reports whether scope, a space-separated list, has name.
func hasScope(scope, name string) bool { return slices.Contains(strings.Fields(scope), name) }

// hashOf is how refresh tokens, codes and device codes are kept.
func hashOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// begin starts a session and returns the answer with its first tokens.
func (s *Server) begin(ctx context.Context, g grant) (*answer, error) {
	if s.cfg.SingleSession && g.User != "" {
		s.endSessions(ctx, func(old *session) bool { return old.User == g.User && old.Client == g.Client })
	}
	s.tidy(ctx)
	g.JKT = thumbprintIn(ctx)
	se := &session{grant: g, live: make(map[string]bool)}
	s.mu.Lock()
	s.sessions[g.Session] = se
	s.mu.Unlock()

	resources := g.Resources
	if g.firstFor != nil {
		resources = g.firstFor
	}
	fields := s.mintAccess(ctx, se, g.Scope, resources)
	s.addIDToken(fields, g)
	if s.givesRefreshToken(g) {
		raw, expires := s.firstRefreshToken(g)
		if err := s.keep(ctx, se, raw, expires); err != nil {
			return nil, err
		}
		s.addRefreshToken(fields, raw, expires)
	}
	return jsonAnswer(200, fields), nil
}

func (s *Server) givesRefreshToken(g grant) bool {
	if c, _ := s.client(g.Client); !c.allowsGrant(grantRefresh) {
		return false
	}
	return g.User != "" && (!s.cfg.OfflineScope || hasScope(g.Scope, "offline_access"))
}

func (s *Server) addRefreshToken(fields map[string]any, raw string, expires time.Time) {
	fields["refresh_token"] = raw
	if s.cfg.AnnounceRefreshLifetime {
		fields["refresh_token_expires_in"] = int64(expires.Sub(s.now()) / time.Second)
	}
}

// mintAccess returns the fields of an answer with a new access token, bound to
// the key that the request in ctx has proved.
func (s *Server) mintAccess(ctx context.Context, se *session, scope string, resources []string) map[string]any {
	now := s.now()
	expires := now.Add(s.cfg.AccessTokenLifetime)
	asked := append([]string{scope, thumbprintIn(ctx)}, resources...)
	s.mu.Lock()
	if same := s.mintedThisSecondLocked(se, now, asked...); same != nil {
		s.mu.Unlock()
		return same
	}
	se.serial++
	serial := se.serial
	if s.cfg.RevokeOldAccess {
		se.minSerial = serial
	}
	if expires.After(se.expires) {
		se.expires = expires
	}
	s.mu.Unlock()

	if len(resources) == 0 {
		resources = []string{s.Resource()}
	}
	claims := accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: s.issuer, Subject: subjectOf(se.grant), Audience: resources, ID: randomID(8),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: wholeSecond(expires),
		},
		ClientID: se.Client, Scope: scope, Session: se.Session, Serial: serial, ExpiresMilli: expires.UnixMilli(),
	}
	if se.actor != "" {
		claims.Actor = &actorClaim{Subject: se.actor}
	}
	fields := map[string]any{
		"token_type": "Bearer",
		"expires_in": int64(s.cfg.AccessTokenLifetime / time.Second),
		"scope":      scope,
	}
	bind(ctx, fields, &claims)
	fields["access_token"] = s.keys.sign("at+jwt", claims)
	s.keepMint(se, now, fields, asked...)
	return fields
}

// subjectOf is the user, or the client if it acts for itself (RFC 9068 section
// 2.2).
func subjectOf(g grant) string {
	if g.User == "" {
		return g.Client
	}
	return g.User
}

// addIDToken adds an ID token if the grant is OpenID Connect's.
func (s *Server) addIDToken(fields map[string]any, g grant) {
	if g.User == "" || !hasScope(g.Scope, "openid") {
		return
	}
	now := s.now()
	claims := jwt.MapClaims{
		"iss": s.issuer, "sub": g.User, "aud": g.Client, "auth_time": g.LoginUnix,
		"iat": now.Unix(), "exp": wholeSecond(now.Add(s.cfg.AccessTokenLifetime)).Unix(),
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	if access := text(fields, "access_token"); access != "" {
		claims["at_hash"] = leftHalf(access)
	}
	fields["id_token"] = s.keys.sign("JWT", claims)
}

// firstRefreshToken returns a login's refresh token.
func (s *Server) firstRefreshToken(g grant) (raw string, expires time.Time) {
	expires = s.now().Add(s.cfg.RefreshTokenLifetime)
	return s.refreshToken(g, "first", expires), expires
}

// refreshToken derives a refresh token. Deriving it from its predecessor is what
// lets the server give the same successor again without keeping it.
func (s *Server) refreshToken(g grant, from string, expires time.Time) string {
	mac := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(mac, "%s\n%s\n", g.Session, from)
	sum := mac.Sum(nil)
	if !s.cfg.JWTRefreshTokens {
		raw := g.Session + ":" + base64.StdEncoding.EncodeToString(sum)
		return raw + strings.Repeat("=", max(0, s.cfg.Quirks.RefreshTokenLength-len(raw)))
	}
	// HS256 because ECDSA would give another token each time.
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": s.issuer, "sub": g.User, "sid": g.Session, "jti": hex.EncodeToString(sum),
		"iat": expires.Add(-s.cfg.RefreshTokenLifetime).Unix(), "exp": wholeSecond(expires).Unix(),
	})
	signed, err := t.SignedString(s.secret)
	if err != nil {
		panic("oauthtest: cannot sign: " + err.Error()) // never happens with a good key
	}
	return signed
}

// errSessionEnded means that a session ended while it was being refreshed.
var errSessionEnded = errors.New("oauthtest: the session has ended")

// keep makes the refresh token raw one that can be spent.
func (s *Server) keep(ctx context.Context, se *session, raw string, expires time.Time) error {
	data, err := json.Marshal(se.grant)
	if err != nil {
		return err
	}
	hash := hashOf(raw)
	if err := s.cfg.RefreshTokens.Set(ctx, hash, string(data), expires); err != nil {
		return err
	}
	s.mu.Lock()
	ended := se.ended
	if !ended {
		se.live[hash] = true
		s.tokens[hash] = &refreshState{session: se, expires: expires}
		if expires.After(se.expires) {
			se.expires = expires
		}
	}
	s.mu.Unlock()
	if ended {
		// Whoever ended the session could not know of this token.
		return errors.Join(errSessionEnded, s.cfg.RefreshTokens.Delete(ctx, hash))
	}
	return nil
}

// endSessions ends the sessions that match: no token of theirs works any more.
// match is called with Server.mu held.
func (s *Server) endSessions(ctx context.Context, match func(*session) bool) {
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
		_ = s.cfg.RefreshTokens.Delete(ctx, hash)
	}
}

// RevokeAll ends all sessions of user from the server's side, as a change of
// password does. The auditor does not hold the next refresh against the client.
func (s *Server) RevokeAll(user string) {
	s.endSessions(context.Background(), func(se *session) bool { return se.User == user })
}

// EndUser removes user from the server, with all sessions.
func (s *Server) EndUser(user string) {
	s.mu.Lock()
	delete(s.users, user)
	s.mu.Unlock()
	s.RevokeAll(user)
}

// ExpireAccess makes the server reject the access tokens that user has now,
// however long they were to live. Refresh tokens stay valid.
func (s *Server) ExpireAccess(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, se := range s.sessions {
		if se.User == user {
			se.minSerial = se.serial + 1
		}
	}
}

// Sessions returns how many sessions of user have not ended or expired.
func (s *Server) Sessions(user string) int {
	now, n := s.now(), 0
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, se := range s.sessions {
		if se.User == user && !se.ended && now.Before(se.expires) {
			n++
		}
	}
	return n
}

// tidyInterval is how often expired state is dropped: often enough for a test
// that runs for days of fake time, and rarely enough to cost nothing.
const tidyInterval = time.Minute

// tidy forgets what has expired, if it is time to.
func (s *Server) tidy(ctx context.Context) {
	now := s.now()
	s.mu.Lock()
	due := now.Sub(s.lastCleanup) >= tidyInterval
	if due {
		s.lastCleanup = now
		s.forgetLocked(now)
	}
	s.mu.Unlock()
	if due {
		// Cleaning up is a courtesy to the store; expired tokens are refused anyway.
		_, _ = s.cfg.RefreshTokens.Cleanup(ctx)
	}
}

func (s *Server) forgetLocked(now time.Time) {
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
	for hash, c := range s.codes {
		if now.After(c.expires.Add(codeMemory)) {
			delete(s.codes, hash)
		}
	}
	for hash, p := range s.pushed {
		if now.After(p.expires.Add(codeMemory)) {
			delete(s.pushed, hash)
		}
	}
	for hash, d := range s.devices {
		if now.After(d.expires.Add(codeMemory)) {
			delete(s.devices, hash)
		}
	}
}
