package lifetime

import (
	"encoding/json"
	"time"

	"github.com/evertoken/evertoken/internal/member"
)

// SavedEnd returns the earliest end that is told for a token of one of owners: as a
// time, or as a life since issued if that is known.
func SavedEnd(fields member.Fields, owners []string, issued time.Time) (end time.Time) {
	for name, raw := range fields {
		u, isEnd := endWord(name, owners)
		if !isEnd {
			continue
		}
		at := SavedTime(raw)
		if life, known := told(raw, u, false, issued); at.IsZero() && known && !issued.IsZero() {
			at = issued.Add(life)
		}
		if !at.IsZero() && (end.IsZero() || at.Before(end)) {
			end = at
		}
	}
	return end
}

// SavedTime reads a time since 1970, in seconds or smaller units, or in words. It can be
// over. Zero means that there is none.
func SavedTime(raw json.RawMessage) time.Time {
	raw = member.TimeInside(raw)
	n, isNumber := member.Seconds(raw)
	switch {
	case !isNumber:
		return member.InRange(member.TimeInWords(member.Text(raw))).UTC()
	case n <= int64(Max/time.Second): // a life
		return time.Time{}
	case n <= member.MaxUnixSeconds:
		return time.Unix(n, 0).UTC()
	case n <= 1000*member.MaxUnixSeconds:
		return time.UnixMilli(n).UTC()
	case n <= 1_000_000*member.MaxUnixSeconds:
		return time.UnixMicro(n).UTC()
	}
	return time.Unix(0, n).UTC()
}
