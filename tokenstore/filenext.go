package tokenstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/evertoken/evertoken/internal/ownfile"
)

// The file of a spend has two parts. At its beginning is room for the next record, blank and
// closed by a line break; behind it is the announcement. The room is made of whole blocks, so
// that a write into it does not touch those of the announcement. So there are these states:
//
//	blank room, announcement     the token may have been sent
//	torn record, announcement    the same: what is in the room does not count
//	whole record, announcement   the record counts
//	whole record                 as it gets the record's name
//
// Earlier versions wrote the announcement to the beginning, with blanks behind it, and the
// record over it. Their files are read, and they read the announcements of this version.

// Fields that only the files of a session have.
const (
	replacesField = "spend_replaces" // what the record's file held, by contentHash
	begunField    = "spend_begun"    // the file announces a spend
	checkField    = "spend_check"    // contentHash of what comes before; the last field
)

// contentHash names the content of a file.
func contentHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

const (
	block    = 4 << 10
	mostRoom = MaxRecord + block
)

// roomFor returns how much room the next record gets beside an announcement of the given size.
// It has tokens of about the same length and one ancestor more, as a rule. If a server begins
// to give longer ones, as with a person's first groups in a JWT, and the disk is full, the
// session saves the refresh token alone.
func roomFor(size int) int {
	return min((size+size/2+1<<10+block-1)/block*block, mostRoom)
}

// blank returns room for a record.
func blank(size int) []byte {
	room := bytes.Repeat([]byte{' '}, size)
	if size > 0 {
		room[size-1] = '\n'
	}
	return room
}

// encodeNext returns the content of a file that is to follow one whose content has the hash
// replaces.
func encodeNext(rec *Record, version uint64, replaces string) ([]byte, error) {
	data, err := encodeFile(rec, version)
	if err != nil {
		return nil, err
	}
	return closeNext(data[:len(data)-1], replaces), nil
}

// encodeAnnouncement returns the content of the file of a spend, and how much of that is room.
func encodeAnnouncement(rec *Record, version uint64, replaces string) (content []byte, room int, err error) {
	data, err := encodeFile(rec, version)
	if err != nil {
		return nil, 0, err
	}
	room = roomFor(len(data))
	content = append(blank(room), data[:len(data)-1]...)
	content = fmt.Appendf(content, `,"%s":true`, begunField)
	return closeNext(content, replaces), room, nil
}

// closeNext closes a record without its last brace.
func closeNext(data []byte, replaces string) []byte {
	data = fmt.Appendf(data, `,"%s":"%s"`, replacesField, replaces)
	return fmt.Appendf(data, `,"%s":"%s"}`+"\n", checkField, contentHash(data))
}

// A nextRecord is what was found beside a record.
type nextRecord struct {
	data     []byte // the record
	replaces string
	begun    bool
}

// nextLimit is how many bytes the file of a spend has at most: room, an announcement, and the
// fields of both.
const nextLimit = mostRoom + MaxRecord + block

// readNext returns what is beside the record at path, or nil if there is nothing whole. It
// fails if that cannot be told.
func (d *disk) readNext(path string) (*nextRecord, error) {
	path += nextSuffix
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // as nearly always
	}
	var data []byte
	err := retryBusy(func() (err error) {
		data, err = d.read(path, nextLimit)
		return err
	})
	switch _, planted := errors.AsType[*ownfile.Error](err); {
	case planted, errors.Is(err, fs.ErrNotExist), errors.Is(err, ownfile.ErrTooLarge):
		return nil, nil // it is not ours
	case err != nil:
		return nil, err
	}
	return parseNext(data), nil
}

// parseNext returns the record in the room, or else the announcement; nil if neither is whole.
func parseNext(data []byte) *nextRecord {
	if next := parseWhole(firstLine(data), 0); next != nil {
		return next
	}
	begin := bytes.LastIndexByte(bytes.TrimRight(data, " \n"), '\n') + 1
	if begin == 0 {
		return nil
	}
	return parseWhole(append(blank(begin), data[begin:]...), begin)
}

func firstLine(data []byte) []byte {
	if end := bytes.IndexByte(data, '\n'); end >= 0 {
		return data[:end+1]
	}
	return data
}

// parseWhole returns the record that begins in data where it says, or nil if it is not whole.
func parseWhole(data []byte, begin int) *nextRecord {
	end := bytes.LastIndex(data, []byte(`,"`+checkField+`":"`))
	var fields struct {
		Replaces string `json:"spend_replaces"`
		Begun    bool   `json:"spend_begun"`
		Check    string `json:"spend_check"`
	}
	if end < 0 || json.Unmarshal(data, &fields) != nil || fields.Check != contentHash(data[:end]) {
		return nil
	}
	return &nextRecord{data: data[begin:], replaces: fields.Replaces, begun: fields.Begun}
}

// follows reports whether n counts beside a record's file with the given content.
func (n *nextRecord) follows(content []byte) bool {
	return n != nil && n.replaces == contentHash(content)
}

// recordIn returns the record in the content of its file. The file of a spend may have taken
// the record's name with the announcement still at its end, if a process or the power ended
// before that was cut off.
func recordIn(content []byte) []byte {
	first := firstLine(content)
	if len(first) == len(content) {
		return content
	}
	if next := parseWhole(first, 0); next != nil && !next.begun {
		return first
	}
	return content
}
