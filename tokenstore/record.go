package tokenstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
)

// A Record is what a store keeps for a session: its token pair, and what
// processes must know about each other's attempts to renew it. Except for the
// pair it holds no secret: refresh tokens are named by [Fingerprint].
type Record struct {
	// Tokens is the session's current pair.
	Tokens *oauth.TokenPair
	// Version counts the record's changes. Stores set it; see [Store.Set].
	Version uint64

	// Pending announces a spend that has begun and whose outcome is not recorded
	// yet. Found by another process under the lock, it means the outcome is
	// unknown: the holder died.
	Pending *Mark
	// Refused says since when the server has been refusing the refresh token without
	// that being a verdict: in words that do not mean the grant is dead, or in words
	// that do and that are to be heard a second time (Mark.Certain).
	Refused *Mark
	// Dead puts the refresh token in quarantine: the server has said that it is
	// no longer good. Under the same configuration it is not spent again, and it is
	// not deleted either. What counts as such a word is for [Record.Condemned] to say.
	Dead *Mark
	// NotBefore is when the server wants to be asked again (Retry-After), and AskedAt
	// when that was written, by the same clock: a clock that is set back later does not
	// prolong the wait. AskedAt is zero in records of earlier versions.
	NotBefore, AskedAt time.Time

	// WentBackAt is when this pair, which had been saved before, was written over an older
	// copy that had taken its place. Nothing is spent for a while then: another process
	// may have a pair that is newer still.
	WentBackAt time.Time

	// Places are where the session has been kept since the login, the latest last:
	// fingerprints of a machine and a directory, by the programs there that renew it. One
	// that is not among them holds a copy.
	Places []string
	// Login names the login in a store that is a directory ([Local]): random, the same in
	// every copy and after every renewal, so that a copy under another path or name is
	// known to be one. Empty in records of other stores and of earlier versions.
	Login string
	// Witnesses are where those who renew the session have noted since the login that its
	// refresh tokens are spent, by the fingerprint of a directory: the first, and another
	// one if there is any. Empty as Login.
	Witnesses []string

	// RefreshedAt is when the session was last renewed, and RefreshedBy the
	// client configuration that did it, as a fingerprint.
	RefreshedAt time.Time
	RefreshedBy string
	// Ancestors are fingerprints of refresh tokens this session's current one
	// descends from: the first, and the most recent ones. A pair whose refresh
	// token is among them is superseded.
	Ancestors []string
	// Replaced are fingerprints of the pairs of logins before this one, which took their place:
	// of each the first and the newest. A program that starts with one of them again has an old
	// pair and no new login. It is by the refresh token, or the access token of a pair without.
	Replaced []string

	// Unknown holds fields written by another version of this package. They are
	// written back unchanged.
	Unknown map[string]json.RawMessage
}

// A Mark says what happened to a refresh token, and when.
type Mark struct {
	// Token is the refresh token's [Fingerprint].
	Token string `json:"token"`
	// At is when it happened, by the clock of the process that wrote the mark.
	At time.Time `json:"at"`
	// Code is the error code the server gave, if any.
	Code string `json:"code,omitempty"`
	// By is the client configuration that it happened under, as a fingerprint; empty
	// if that is not known.
	By string `json:"by,omitempty"`
	// Certain says that the server's word was one that ends sessions.
	Certain bool `json:"certain,omitempty"`
	// Last is when it happened last, and Count how often it has, where it can happen
	// more than once. Last has the clock of At.
	Last  time.Time `json:"last,omitzero"`
	Count int       `json:"count,omitempty"`
}

// On reports whether m is a mark on the given refresh token. A nil mark is on
// none.
func (m *Mark) On(refreshToken string) bool {
	return m != nil && refreshToken != "" && m.Token == Fingerprint(refreshToken)
}

// Fingerprint names a refresh token without revealing it: the first 16 bytes of
// its SHA-256, in hex. Refresh tokens have at least 128 bits of entropy (RFC 6749
// section 10.10), so it cannot be guessed back. It is empty for an empty token.
func Fingerprint(refreshToken string) string {
	if refreshToken == "" {
		return ""
	}
	var buf [512]byte // most tokens fit, and need no memory then
	sum := sha256.Sum256(append(buf[:0], refreshToken...))
	var name [32]byte
	hex.Encode(name[:], sum[:16])
	return string(name[:])
}

// maxAncestors bounds Ancestors. Sixteen renewals cover a process that slept
// through a working day of 30-minute tokens; the first one, which is kept for
// good, covers a program that starts with the same seed pair every time.
const maxAncestors = 16

// Supersede replaces the record's pair by its successor: the old refresh token
// joins the ancestors and the marks on it are cleared.
func (r *Record) Supersede(next *oauth.TokenPair) {
	if r.Tokens != nil && r.Tokens.RefreshToken != next.RefreshToken && r.Tokens.RefreshToken != "" {
		ancestors := append(make([]string, 0, len(r.Ancestors)+1), r.Ancestors...) // r may be a copy that shares them
		ancestors = append(ancestors, Fingerprint(r.Tokens.RefreshToken))
		if n := len(ancestors); n > maxAncestors {
			ancestors = slices.Delete(ancestors, 1, 1+n-maxAncestors)
		}
		r.Ancestors = ancestors
	}
	r.Tokens = next
	r.Pending, r.Refused, r.Dead = nil, nil, nil
	r.NotBefore, r.AskedAt, r.WentBackAt = time.Time{}, time.Time{}, time.Time{}
}

// Condemned reports whether the server has ended the session by a word that means
// just that, as far as the client configuration with the given fingerprint is
// concerned: under another one the server may answer otherwise. An empty fingerprint
// is any. Marks that other programs or earlier versions wrote for less do not count.
func (r *Record) Condemned(configID string) bool {
	if r.Tokens == nil || !r.Dead.On(r.Tokens.RefreshToken) || !r.Dead.Certain && !oauth.EndsSession(r.Dead.Code) {
		return false
	}
	by := r.Dead.By
	if by == "" {
		by = r.RefreshedBy
	}
	return by == "" || configID == "" || by == configID
}

// Descends reports whether the record's pair is known to have replaced one with
// the given refresh token. It has not replaced its own, which a server may have given before.
func (r *Record) Descends(refreshToken string) bool {
	own := r.Tokens != nil && r.Tokens.RefreshToken == refreshToken
	return refreshToken != "" && !own && slices.Contains(r.Ancestors, Fingerprint(refreshToken))
}

// Spent reports whether nothing can renew or use the session any more at the
// given time: its access token has expired, and its refresh token is absent,
// expired, or was declared dead by the server at least thirty days ago. The
// grace is for people: until then a verdict may still turn out to be wrong. A pair
// that can be asked for again ([oauth.TokenPair.GrantType]) has as long, since its
// program may be waiting for the server. A
// record without tokens that has unknown fields is never spent: the session is in
// those, for another program to judge, as in a record of [Sealed].
func (r *Record) Spent(now time.Time) bool {
	at, ever := r.SpentAt()
	return ever && !now.Before(at)
}

// SpentAt returns from when on the record is spent ([Record.Spent]) unless it is
// changed, and false if it never is. A store can keep it in an index for its Cleanup.
func (r *Record) SpentAt() (at time.Time, ever bool) {
	const quarantine = 30 * 24 * time.Hour
	t := r.Tokens
	if t == nil {
		return r.NotBefore, len(r.Unknown) == 0
	}
	if t.ExpiresAt.IsZero() && t.AccessToken != "" && !r.Condemned("") {
		return time.Time{}, false // may be good for ever
	}
	switch {
	case t.RefreshToken == "" && t.GrantType != "":
		return t.ExpiresAt.Add(quarantine), true
	case t.RefreshToken == "":
		return t.ExpiresAt, true
	}
	end, ever := t.RefreshExpiresAt, !t.RefreshExpiresAt.IsZero()
	if r.Condemned("") {
		if dead := r.Dead.At.Add(quarantine); !ever || dead.Before(end) {
			end, ever = dead, true
		}
	}
	if end.Before(t.ExpiresAt) {
		end = t.ExpiresAt
	}
	return end, ever
}

// Clone returns a copy that shares nothing with r. It returns nil for nil.
func (r *Record) Clone() *Record {
	if r == nil {
		return nil
	}
	c := *r
	c.Tokens = r.Tokens.Clone()
	c.Pending, c.Refused, c.Dead = r.Pending.clone(), r.Refused.clone(), r.Dead.clone()
	c.Ancestors, c.Replaced = slices.Clone(r.Ancestors), slices.Clone(r.Replaced)
	c.Places, c.Witnesses = slices.Clone(r.Places), slices.Clone(r.Witnesses)
	c.Unknown = maps.Clone(r.Unknown)
	for k, v := range c.Unknown {
		c.Unknown[k] = slices.Clone(v)
	}
	return &c
}

func (m *Mark) clone() *Mark {
	if m == nil {
		return nil
	}
	c := *m
	return &c
}

// String describes the record without its tokens.
func (r Record) String() string {
	return fmt.Sprintf("tokenstore.Record{version:%d tokens:%v}", r.Version, r.Tokens)
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (r Record) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, r.String()) }

// LogValue implements slog.LogValuer.
func (r Record) LogValue() slog.Value { return slog.StringValue(r.String()) }

// maxVersion is the greatest version that every place keeps exactly: JSON
// readers and Redis scripts hold numbers as float64.
const maxVersion = 1<<53 - 1

// NextVersion returns the version of the record that replaces one with version
// prev; for a new record prev is zero. Stores call it in their Set.
//
// It is the Unix time in seconds, shifted left by 20 bits that are filled at random; or
// if prev is as great as that, a random step of up to 2^20 beyond prev. Counting up
// from what is stored would use numbers twice: a session that was deleted and created
// again, and one whose store went back to an older copy, would soon carry a version that
// a slow process still remembers from before, and that process's older pair would pass
// the comparison (the ABA problem). By the time, a version of another second than
// those before it repeats none; within one second, or while the clock is set back, the
// random part leaves a chance of one in some hundred thousand. The numbers stay below 2^53
// until the year 2242.
//
// Safe for concurrent use.
func NextVersion(prev uint64) uint64 {
	if now := uint64(time.Now().Unix()) << 20; now > prev {
		return now | uint64(rand.Uint32N(1<<20))
	}
	if prev >= maxVersion-1<<20 {
		return prev + 1
	}
	return prev + 1 + uint64(rand.Uint32N(1<<20))
}

// ErrNewerFormat means that a record was written by a newer version of this
// package, in a format that this one cannot read. It is neither damaged nor
// absent, so it is never moved, overwritten or deleted: update the program.
var ErrNewerFormat = errors.New("session was saved by a newer version of this program, in a format unknown here")

// recordFormat is the format this package writes. Adding fields does not raise
// it, since older versions carry unknown fields along; changing the meaning of
// one does.
const recordFormat = 1

// storedRecord is the JSON form of a Record.
type storedRecord struct {
	Format      int              `json:"format"`
	Version     uint64           `json:"version,omitempty"`
	Tokens      *oauth.TokenPair `json:"tokens,omitempty"`
	Pending     *Mark            `json:"pending,omitempty"`
	Refused     *Mark            `json:"refused,omitempty"`
	Dead        *Mark            `json:"dead,omitempty"`
	NotBefore   *time.Time       `json:"not_before,omitempty"`
	AskedAt     *time.Time       `json:"asked_at,omitempty"`
	WentBackAt  *time.Time       `json:"went_back_at,omitempty"`
	RefreshedAt *time.Time       `json:"refreshed_at,omitempty"`
	RefreshedBy string           `json:"refreshed_by,omitempty"`
	Ancestors   []string         `json:"ancestors,omitempty"`
	Places      []string         `json:"places,omitempty"`
	Login       string           `json:"login,omitempty"`
	Witnesses   []string         `json:"witnesses,omitempty"`
	Replaced    []string         `json:"replaced,omitempty"`
}

var storedNames = []string{
	"format", "version", "tokens", "pending", "refused", "dead",
	"not_before", "asked_at", "went_back_at", "refreshed_at", "refreshed_by", "ancestors", "places", "login", "witnesses", "replaced",
}

// MarshalJSON writes the record for storage, tokens included: one object with
// the number of its format, and Unknown beside the fields of this version. It
// fails, quoting no content, for a record that could not be read back: one with
// a pair without any token, a token that is not UTF-8, or an unknown field that
// is not JSON.
func (r Record) MarshalJSON() ([]byte, error) {
	if err := r.checkTokens(); err != nil {
		return nil, err
	}
	known, err := json.Marshal(storedRecord{
		Format:      recordFormat,
		Version:     r.Version,
		Tokens:      r.Tokens,
		Pending:     r.Pending.utc(),
		Refused:     r.Refused.utc(),
		Dead:        r.Dead.utc(),
		NotBefore:   timeOrNil(r.NotBefore),
		AskedAt:     timeOrNil(r.AskedAt),
		WentBackAt:  timeOrNil(r.WentBackAt),
		RefreshedAt: timeOrNil(r.RefreshedAt),
		RefreshedBy: r.RefreshedBy,
		Ancestors:   r.Ancestors,
		Places:      r.Places,
		Login:       r.Login,
		Witnesses:   r.Witnesses,
		Replaced:    r.Replaced,
	})
	if err != nil {
		// encoding/json may quote what it could not encode.
		return nil, errors.New("record cannot be written: an extra field is not JSON, or a time is out of range")
	}
	if len(r.Unknown) == 0 {
		return known, nil
	}
	fields := maps.Clone(r.Unknown)
	for _, name := range storedNames {
		delete(fields, name) // a field of ours cannot be shadowed by an unknown one
	}
	if err := json.Unmarshal(known, &fields); err != nil {
		return nil, err
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return nil, errors.New("record cannot be written: an unknown field is not JSON")
	}
	return data, nil
}

func (r *Record) checkTokens() error {
	t := r.Tokens
	switch {
	case t == nil:
		return nil
	case t.AccessToken == "" && t.RefreshToken == "":
		return errors.New("record cannot be written: its pair has no token")
	case !utf8.ValidString(t.AccessToken), !utf8.ValidString(t.RefreshToken), !utf8.ValidString(t.IDToken):
		// JSON would replace the offending bytes, and the token would be another.
		return errors.New("record cannot be written: a token is not valid UTF-8")
	}
	return nil
}

// UnmarshalJSON reads what MarshalJSON wrote, and what other programs make of
// it: without our extra fields the record still loads, and so does a bare token
// response (an object with access_token at its top level). A mark or time of an
// unexpected type is ignored. Fields it does not know go to Unknown.
//
// A version that is absent, or not a number below 2^53, is replaced by one
// derived from the content: above all those that stores hand out, and another
// one whenever the content is another. So a file rewritten by a third party is
// noticed like any other change.
//
// It fails with [ErrNewerFormat] for a format beyond this version's, and with
// another error for what holds no record. Errors quote no content.
func (r *Record) UnmarshalJSON(data []byte) error {
	fields := member.Object(data)
	if fields == nil {
		return errors.New("it is not a JSON object")
	}
	if err := checkFormat(fields["format"]); err != nil {
		return err
	}
	rec := Record{
		Version:     storedVersion(fields["version"], data),
		Pending:     markField(fields["pending"]),
		Refused:     markField(fields["refused"]),
		Dead:        markField(fields["dead"]),
		NotBefore:   timeField(fields["not_before"]),
		AskedAt:     timeField(fields["asked_at"]),
		WentBackAt:  timeField(fields["went_back_at"]),
		RefreshedAt: timeField(fields["refreshed_at"]),
		RefreshedBy: member.Text(fields["refreshed_by"]),
		Ancestors:   member.Texts(fields["ancestors"]),
		Places:      member.Texts(fields["places"]),
		Login:       member.Text(fields["login"]),
		Witnesses:   member.Texts(fields["witnesses"]),
		Replaced:    member.Texts(fields["replaced"]),
	}
	if err := rec.readTokens(fields); err != nil {
		return err
	}
	*r = rec
	return nil
}

// readTokens sets Tokens and Unknown. It takes from fields what it has read.
func (r *Record) readTokens(fields map[string]json.RawMessage) error {
	tokens, ours := fields["tokens"], present(fields["format"])
	for _, name := range storedNames {
		delete(fields, name)
	}
	switch {
	case present(tokens):
		r.Tokens = new(oauth.TokenPair)
		if err := r.Tokens.UnmarshalJSON(tokens); err != nil {
			return err
		}
	case present(fields["access_token"]) || present(fields["refresh_token"]):
		bare, err := json.Marshal(fields)
		if err == nil {
			err = json.Unmarshal(bare, &r.Tokens)
		}
		if err != nil {
			return err
		}
		return nil // what else was there is in the pair's Extra
	case !ours:
		return errors.New("it holds no token pair")
	}
	if len(fields) > 0 {
		r.Unknown = fields
	}
	return nil
}

// checkFormat treats a format number that it cannot understand like one that is
// too great: only the past is ours to interpret.
func checkFormat(raw json.RawMessage) error {
	if !present(raw) {
		return nil
	}
	var n int64
	if err := json.Unmarshal(raw, &n); err != nil || n > recordFormat {
		return ErrNewerFormat
	}
	return nil
}

// storedVersion reads a version, or derives one from the content. Derived
// versions begin at 2^52, far above those of NextVersion, and end 2^51 below
// the limit, so that they can be counted up.
func storedVersion(raw json.RawMessage, content []byte) uint64 {
	if v := field[uint64](raw); v > 0 && v <= maxVersion {
		return v
	}
	sum := sha256.Sum256(content)
	return 1<<52 | binary.BigEndian.Uint64(sum[:8])>>13
}

func present(raw json.RawMessage) bool {
	return len(raw) > 0 && !bytes.Equal(raw, []byte("null"))
}

// field reads a value, or returns its zero value if it is absent or of another
// type.
func field[T any](raw json.RawMessage) T {
	var v T
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return *new(T)
	}
	return v
}

// timeField reads a time, in UTC. It ignores those that could not be written
// again because their year, in UTC, has not four digits.
func timeField(raw json.RawMessage) time.Time {
	if len(raw) == 0 {
		return time.Time{}
	}
	t := field[time.Time](raw).UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

func markField(raw json.RawMessage) *Mark {
	m := field[*Mark](raw)
	if m == nil {
		return nil
	}
	var times struct {
		At   json.RawMessage `json:"at"`
		Last json.RawMessage `json:"last"`
	}
	_ = json.Unmarshal(raw, &times) // it was read as a Mark a moment ago
	m.At, m.Last = timeField(times.At), timeField(times.Last)
	return m
}

func (m *Mark) utc() *Mark {
	if m = m.clone(); m != nil {
		m.At, m.Last = m.At.Round(0).UTC(), m.Last.Round(0).UTC()
	}
	return m
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.Round(0).UTC()
	return &t
}

// reread returns rec with the given version as a store would read it back after
// writing it: a copy that shares nothing with rec.
func reread(rec *Record, version uint64) (*Record, error) {
	data, err := encode(rec, version)
	if err != nil {
		return nil, err
	}
	return decode(data)
}

// encode returns the stored form of rec with the given version.
func encode(rec *Record, version uint64) ([]byte, error) {
	c := *rec
	c.Version = version
	return c.MarshalJSON()
}

// decode reads what encode returned.
func decode(data []byte) (*Record, error) {
	var rec Record
	if err := rec.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	return &rec, nil
}
