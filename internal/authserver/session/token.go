package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evertoken/evertoken/internal/authserver/keys"
	"github.com/evertoken/evertoken/internal/authserver/secret"
)

// refreshEnd is when a refresh token of a grant ends that is issued or used now.
func (s *Sessions) refreshEnd(g Grant) time.Time {
	end := s.Now().Add(s.cfg.RefreshTokenLifetime)
	if last := time.Unix(g.LoginUnix, 0).Add(s.cfg.GrantLifetime); s.cfg.GrantLifetime > 0 && last.Before(end) {
		return last
	}
	return end
}

// firstRefreshToken returns a login's refresh token.
func (s *Sessions) firstRefreshToken(g Grant) (raw string, expires time.Time) {
	expires = s.refreshEnd(g)
	return s.refreshToken(g, "first", expires), expires
}

// refreshToken derives a refresh token. Deriving it from its predecessor is what
// lets the server give the same successor again without keeping it.
func (s *Sessions) refreshToken(g Grant, from string, expires time.Time) string {
	mac := hmac.New(sha256.New, []byte(s.Secret))
	fmt.Fprintf(mac, "%s\n%s\n", g.Session, from)
	sum := mac.Sum(nil)
	if !s.cfg.JWTRefreshTokens {
		raw := g.Session + ":" + base64.StdEncoding.EncodeToString(sum)
		return raw + strings.Repeat("=", max(0, s.cfg.RefreshTokenLength-len(raw)))
	}
	// HS256 because ECDSA would give another token each time.
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": s.Issuer, "sub": g.User, "sid": g.Session, "jti": hex.EncodeToString(sum),
		"iat": expires.Add(-s.cfg.RefreshTokenLifetime).Unix(), "exp": keys.WholeSecond(expires).Unix(),
	})
	signed, err := t.SignedString([]byte(s.Secret))
	if err != nil {
		panic("oauthtest: cannot sign: " + err.Error()) // never happens with a good key
	}
	return signed
}

// forkOf names successor number n of raw, for deriving it.
func forkOf(raw string, n int) string { return raw + "\n" + strconv.Itoa(n) }

func (s *Sessions) addRefreshToken(fields map[string]any, raw string, expires time.Time) {
	fields["refresh_token"] = raw
	if s.cfg.AnnounceRefreshLifetime {
		fields["refresh_token_expires_in"] = int64(expires.Sub(s.Now()) / time.Second)
	}
}

// errSessionEnded means that a session ended while it was being refreshed.
var errSessionEnded = errors.New("oauthtest: the session has ended")

// keep makes the refresh token raw one that can be spent.
func (s *Sessions) keep(ctx context.Context, se *session, raw string, expires time.Time) error {
	data, err := json.Marshal(se.Grant)
	if err != nil {
		return err
	}
	hash := secret.Hash(raw)
	if err := s.cfg.Store.Set(ctx, hash, string(data), expires); err != nil {
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
		// The call that ended the session could not know of this token.
		return errors.Join(errSessionEnded, s.cfg.Store.Delete(ctx, hash))
	}
	return nil
}

// lookUp returns the live session of a refresh token that can be spent, or nil.
func (s *Sessions) lookUp(ctx context.Context, hash string) (*session, error) {
	data, err := s.cfg.Store.Get(ctx, hash)
	if err != nil && s.cfg.Missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, _ := data.(string)
	var g Grant
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		return nil, errors.New("the refresh token store holds something else than it was given")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	se := s.sessions[g.Session]
	if se == nil {
		// The store outlived the server that filled it.
		se = &session{Grant: g, live: map[string]bool{hash: true}, expires: s.Now().Add(s.cfg.RefreshTokenLifetime)}
		s.sessions[g.Session] = se
	}
	if s.tokens[hash] == nil {
		s.tokens[hash] = &refreshState{session: se, expires: se.expires}
	}
	if se.ended {
		return nil, nil
	}
	return se, nil
}

// claim waits until no other request works on the refresh token with this hash. The
// wait is on a channel, not a mutex: stores may take their time.
func (s *Sessions) claim(hash string) (release func()) {
	for {
		s.mu.Lock()
		busy, taken := s.claims[hash]
		if !taken {
			done := make(chan struct{})
			s.claims[hash] = done
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.claims, hash)
				s.mu.Unlock()
				close(done)
			}
		}
		s.mu.Unlock()
		<-busy
	}
}

// sessionOf returns the session of a refresh token, spent or not, or nil.
func (s *Sessions) sessionOf(ctx context.Context, raw string) *session {
	hash := secret.Hash(raw)
	s.mu.Lock()
	st := s.tokens[hash]
	s.mu.Unlock()
	if st != nil {
		return st.session
	}
	se, err := s.lookUp(ctx, hash)
	if err != nil {
		return nil
	}
	return se
}

// A Known is what is remembered of a refresh token.
type Known struct {
	Grant
	Expires time.Time
}

// Recall returns what is remembered of a refresh token, spent or not.
func (s *Sessions) Recall(raw string) (Known, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.tokens[secret.Hash(raw)]
	if st == nil {
		return Known{}, false
	}
	return Known{st.session.Grant, st.expires}, true
}

// IsLive reports whether a refresh token can be spent.
func (s *Sessions) IsLive(ctx context.Context, raw string) bool {
	se := s.sessionOf(ctx, raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	return se != nil && se.live[secret.Hash(raw)]
}

// Describe returns what a refresh token that can be spent stands for.
func (s *Sessions) Describe(ctx context.Context, raw string) (Known, bool) {
	hash := secret.Hash(raw)
	se, err := s.lookUp(ctx, hash)
	if err != nil || se == nil {
		return Known{}, false
	}
	k := Known{Grant: se.Grant}
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.tokens[hash]; st != nil {
		k.Expires = st.expires
	}
	return k, true
}

// ExpiredJWT reports whether raw is a refresh token of ours that says itself that
// it has expired.
func (s *Sessions) ExpiredJWT(raw string) bool {
	_, err := jwt.Parse(raw, func(*jwt.Token) (any, error) { return []byte(s.Secret), nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithTimeFunc(s.Now))
	return errors.Is(err, jwt.ErrTokenExpired)
}
