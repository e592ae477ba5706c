package keyring

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/evertoken/evertoken/tokenstore"
)

// Values of any size, each in as many items as the keyring's limit asks for:
//
//	session/default       a header line, and the beginning of the value
//	session/default/a/1   the rest of it, in slot a
//	session/default/a/2
//
// Writing the first item is what commits. The rest is in place by then, in the
// slot that the value before did not use; a crash before leaves the old value and
// some parts that nothing refers to, a crash after it the new one. What is left
// over is swept by the next write: parts are made in ascending order and removed
// in descending order, so there is never a gap, and looking for the first absent
// one finds all.
//
// Writers and removers hold a lock; readers need none.

// headerSpace is left in the first item for the header, which takes 125 bytes.
const headerSpace = 160

// valueFormat is the format of the header. A reader that does not know a greater
// one must leave the value alone.
const valueFormat = 1

// A header says where a value's other items are, and how to know that all of them
// are its own.
type header struct {
	Format int    `json:"format"`
	Slot   string `json:"slot"`  // "a" or "b"
	Items  int    `json:"items"` // with the first one
	SHA256 string `json:"sha256"`
}

// errTorn means that a value's items do not belong together: it is being written
// at this moment, or it is damaged.
var errTorn = errors.New("its items do not belong together")

// values reads and writes values.
type values struct {
	client *client
	max    int // bytes in one item
}

// A stored is a value that was read, or what is known of one that makes no sense.
type stored struct {
	text string
	slot string // where its parts are; empty if there is no telling
}

// read returns the value at item. Without one it fails with errNoItem, and with
// errTorn if it makes no sense.
func (v *values) read(ctx context.Context, item string) (stored, error) {
	h, begin, err := v.head(ctx, item)
	found := stored{slot: h.Slot}
	if err != nil {
		return found, err
	}
	var b strings.Builder
	b.WriteString(begin)
	for n := 1; n < h.Items; n++ {
		part, err := v.client.get(ctx, partItem(item, h.Slot, n))
		if errors.Is(err, errNoItem) {
			return found, fmt.Errorf("%w: number %d of %d is missing", errTorn, n+1, h.Items)
		}
		if err != nil {
			return found, err
		}
		b.WriteString(part)
	}
	if sum(b.String()) != h.SHA256 {
		return found, fmt.Errorf("%w: the checksum differs", errTorn)
	}
	found.text = b.String()
	return found, nil
}

// head reads the first item.
func (v *values) head(ctx context.Context, item string) (h header, begin string, err error) {
	text, err := v.client.get(ctx, item)
	if err != nil {
		return h, "", err
	}
	line, begin, _ := strings.Cut(text, "\n")
	if json.Unmarshal([]byte(line), &h) != nil {
		return header{}, "", fmt.Errorf("%w: the first was not written by this package", errTorn)
	}
	if h.Format > valueFormat {
		return h, "", tokenstore.ErrNewerFormat
	}
	if h.Format < 1 || h.Slot != "a" && h.Slot != "b" {
		return header{}, "", fmt.Errorf("%w: the first makes no sense", errTorn)
	}
	return h, begin, nil
}

// write saves value at item in place of old, which is what read returned.
func (v *values) write(ctx context.Context, item string, old stored, value string) error {
	chunks := split(value, v.max)
	next := header{Format: valueFormat, Slot: otherSlot(old.slot), Items: len(chunks), SHA256: sum(value)}
	for n := 1; n < len(chunks); n++ {
		if err := v.client.set(ctx, partItem(item, next.Slot, n), chunks[n]); err != nil {
			return err
		}
	}
	line, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := v.client.set(ctx, item, string(line)+"\n"+chunks[0]); err != nil {
		return err
	}
	// The value is saved. What this leaves behind, the next write finds.
	_ = v.sweep(ctx, item, next.Slot, next.Items)
	_ = v.sweep(ctx, item, otherSlot(next.Slot), 1)
	return nil
}

// remove deletes the value at item, in the order that never leaves half of one,
// and what may be left over there.
func (v *values) remove(ctx context.Context, item string) error {
	if err := v.client.remove(ctx, item); err != nil {
		return err
	}
	if err := v.sweep(ctx, item, "a", 1); err != nil {
		return err
	}
	return v.sweep(ctx, item, "b", 1)
}

// sweep removes the parts in a slot from number first on.
func (v *values) sweep(ctx context.Context, item, slot string, first int) error {
	n := first
	for ; ; n++ {
		_, err := v.client.get(ctx, partItem(item, slot, n))
		if errors.Is(err, errNoItem) {
			break
		}
		if err != nil {
			return err
		}
	}
	for n--; n >= first; n-- {
		if err := v.client.remove(ctx, partItem(item, slot, n)); err != nil {
			return err
		}
	}
	return nil
}

func otherSlot(slot string) string {
	if slot == "a" {
		return "b"
	}
	return "a"
}

// split cuts value into chunks that fit into items of at most limit bytes, at
// least one. It cuts between characters, for keyrings that take values for text.
func split(value string, limit int) []string {
	var chunks []string
	room := limit - headerSpace
	for len(value) > room {
		n := room
		for n > room-utf8.UTFMax && !utf8.RuneStart(value[n]) {
			n--
		}
		chunks = append(chunks, value[:n])
		value, room = value[n:], limit
	}
	return append(chunks, value)
}

func sum(value string) string {
	s := sha256.Sum256([]byte(value))
	return hex.EncodeToString(s[:])
}
