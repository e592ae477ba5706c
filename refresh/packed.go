package refresh

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

// This file writes a session at rest into one string and reads it back. The form
// never leaves the process. Strings read from it are parts of it.

// Flags of a packed session.
const (
	packedNotified  = 1 << iota
	packedStamp     // the stamp is known
	packedOurConfig // RefreshedBy is this configuration
	packedOdd       // parts follow that few sessions have
	packedDeferred  // a due refresh is put off
	packedTicket    // and may begin then
	packedPlain     // ancestors are fingerprints, which have half the length in binary
)

// pack returns the rest as a string. configID is the manager's own.
func (r restOf) pack(configID string) string {
	rec, t := r.rec, r.rec.Tokens
	odd := t.IDToken != "" || t.GrantType != "" || len(t.Extra) > 0 || len(rec.Unknown) > 0 || !t.DPoPKey.IsZero() || t.Skew != 0 || !t.RefreshAt.IsZero() ||
		!rec.NotBefore.IsZero() || r.reported != ""
	plain := !slices.ContainsFunc(rec.Ancestors, func(a string) bool { return !isFingerprint(a) })
	var flags byte
	for _, f := range []struct {
		set  bool
		flag byte
	}{
		{r.notified, packedNotified}, {r.stamp.known, packedStamp}, {rec.RefreshedBy == configID, packedOurConfig},
		{odd, packedOdd}, {plain, packedPlain}, {r.deferred, packedDeferred}, {r.ticket, packedTicket},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	w := make(packer, 0, 160+len(t.AccessToken)+len(t.RefreshToken)+len(t.Scope)+16*len(rec.Ancestors))
	w = append(w, flags, r.crowd)
	w.fixed(uint64(r.dueWall))
	w.fixed(uint64(r.dueElapsed))
	w.fixed(r.stamp.value)
	w.fixed(uint64(r.until))
	w.number(r.generation)
	w.signed(int64(r.used))
	w.time(r.renewed)

	w.text(t.AccessToken)
	w.text(t.RefreshToken)
	w.text(t.TokenType)
	w.text(t.Scope)
	w.signed(t.ExpiresIn)
	w.time(t.ExpiresAt)
	w.time(t.IssuedAt)
	w.time(t.RefreshExpiresAt)
	w.number(rec.Version)
	w.time(rec.RefreshedAt)
	if flags&packedOurConfig == 0 {
		w.text(rec.RefreshedBy)
	}
	w.ancestors(rec.Ancestors, plain)
	if odd {
		w.text(t.IDToken)
		w.text(t.GrantType)
		w.signed(int64(t.Skew))
		w.time(t.RefreshAt)
		w.time(rec.NotBefore)
		w.text(r.reported)
		w.fields(t.Extra)
		w.fields(rec.Unknown)
		w.key(t.DPoPKey)
	}
	return string(w)
}

// unpackRest reads what pack has written.
func unpackRest(packed, configID string) restOf {
	r := unpacker(packed)
	flags := r[0]
	rest := restOf{outlook: unpackOutlook(packed), notified: flags&packedNotified != 0}
	rest.deferred, rest.ticket = flags&packedDeferred != 0, flags&packedTicket != 0
	r = r[2+3*8:]
	rest.until = int64(r.fixed())
	rest.generation = r.number()
	rest.used = time.Duration(r.signed())
	rest.renewed = r.time()

	t := &oauth.TokenPair{AccessToken: r.text(), RefreshToken: r.text(), TokenType: r.text(), Scope: r.text()}
	t.ExpiresIn = r.signed()
	t.ExpiresAt, t.IssuedAt, t.RefreshExpiresAt = r.time(), r.time(), r.time()
	rec := &tokenstore.Record{Tokens: t, Version: r.number(), RefreshedAt: r.time(), RefreshedBy: configID}
	if flags&packedOurConfig == 0 {
		rec.RefreshedBy = r.text()
	}
	rec.Ancestors = r.ancestors(flags&packedPlain != 0)
	if flags&packedOdd != 0 {
		t.IDToken, t.GrantType = r.text(), r.text()
		t.Skew = time.Duration(r.signed())
		t.RefreshAt = r.time()
		rec.NotBefore = r.time()
		rest.reported = r.text()
		t.Extra, rec.Unknown = r.fields(), r.fields()
		t.DPoPKey = r.key()
	}
	rest.rec = rec
	return rest
}

// unpackOutlook reads the beginning of what pack has written.
func unpackOutlook(packed string) outlook {
	r := unpacker(packed)
	flags, crowd := r[0], r[1]
	r = r[2:]
	o := outlook{crowd: crowd, dueWall: int64(r.fixed()), dueElapsed: int64(r.fixed())}
	o.stamp = stamp{r.fixed(), flags&packedStamp != 0}
	return o
}

func isFingerprint(a string) bool {
	raw, err := hex.DecodeString(a)
	return err == nil && len(raw) == 16 && hex.EncodeToString(raw) == a
}

type packer []byte

func (w *packer) fixed(n uint64)  { *w = binary.LittleEndian.AppendUint64(*w, n) }
func (w *packer) number(n uint64) { *w = binary.AppendUvarint(*w, n) }
func (w *packer) signed(n int64)  { *w = binary.AppendVarint(*w, n) }

func (w *packer) text(s string) {
	w.number(uint64(len(s)))
	*w = append(*w, s...)
}

// time writes a wall-clock time to the nanosecond, of any year.
func (w *packer) time(t time.Time) {
	w.signed(t.Unix())
	w.number(uint64(t.Nanosecond()))
}

func (w *packer) ancestors(list []string, plain bool) {
	w.number(uint64(len(list)))
	for _, a := range list {
		if !plain {
			w.text(a)
			continue
		}
		*w, _ = hex.AppendDecode(*w, []byte(a))
	}
}

func (w *packer) fields(m map[string]json.RawMessage) {
	w.number(uint64(len(m)))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		w.text(name)
		w.text(string(m[name]))
	}
}

func (w *packer) key(k oauth.DPoPKey) {
	if k.IsZero() {
		w.text("")
		return
	}
	text, err := json.Marshal(k)
	if err != nil {
		panic("refresh: a DPoP key that can be used cannot be written") // as stores do all the time
	}
	w.text(string(text))
}

type unpacker string

func (r *unpacker) fixed() uint64 {
	var b [8]byte
	*r = (*r)[copy(b[:], *r):]
	return binary.LittleEndian.Uint64(b[:])
}

func (r *unpacker) number() (n uint64) {
	for shift := 0; ; shift += 7 {
		b := (*r)[0]
		*r = (*r)[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

func (r *unpacker) signed() int64 {
	n := r.number()
	return int64(n>>1) ^ -int64(n&1)
}

func (r *unpacker) text() string {
	n := r.number()
	s := (*r)[:n]
	*r = (*r)[n:]
	return string(s)
}

func (r *unpacker) time() time.Time {
	t := time.Unix(r.signed(), int64(r.number()))
	if t.IsZero() {
		return time.Time{}
	}
	return t
}

func (r *unpacker) ancestors(plain bool) []string {
	n := r.number()
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		if !plain {
			list[i] = r.text()
			continue
		}
		list[i] = hex.EncodeToString([]byte((*r)[:16]))
		*r = (*r)[16:]
	}
	return list
}

func (r *unpacker) fields() map[string]json.RawMessage {
	n := r.number()
	if n == 0 {
		return nil
	}
	m := make(map[string]json.RawMessage, n)
	for range n {
		name := r.text()
		m[name] = json.RawMessage(r.text())
	}
	return m
}

func (r *unpacker) key() (k oauth.DPoPKey) {
	text := r.text()
	if text == "" {
		return k
	}
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		panic("refresh: a DPoP key that was written cannot be read")
	}
	return k
}
