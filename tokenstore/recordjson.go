package tokenstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
	"unicode/utf8"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
)

// ErrNewerFormat means that a record was written by a newer version of this
// package, in a format that this one cannot read. It is neither damaged nor
// absent, so it is never moved, overwritten or deleted: update the program.
var ErrNewerFormat = errors.New("tokenstore: session was saved by a newer version of this program, in a format unknown here")

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
		return nil, errors.New("tokenstore: record cannot be written: an extra field is not JSON, or a time is out of range")
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
		return nil, errors.New("tokenstore: record cannot be written: an unknown field is not JSON")
	}
	return data, nil
}

func (r *Record) checkTokens() error {
	t := r.Tokens
	switch {
	case t == nil:
		return nil
	case t.AccessToken == "" && t.RefreshToken == "":
		return errors.New("tokenstore: record cannot be written: its pair has no token")
	case !utf8.ValidString(t.AccessToken), !utf8.ValidString(t.RefreshToken), !utf8.ValidString(t.IDToken):
		// JSON would replace the offending bytes, and the token would be another.
		return errors.New("tokenstore: record cannot be written: a token is not valid UTF-8")
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
		return errors.New("tokenstore: it is not a JSON object")
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
			return fmt.Errorf("tokenstore: %w", err)
		}
	case present(fields["access_token"]) || present(fields["refresh_token"]):
		bare, err := json.Marshal(fields)
		if err == nil {
			err = json.Unmarshal(bare, &r.Tokens)
		}
		if err != nil {
			return fmt.Errorf("tokenstore: %w", err)
		}
		return nil // what else was there is in the pair's Extra
	case !ours:
		return errors.New("tokenstore: it holds no token pair")
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
