package storeerr

import (
	"fmt"

	"github.com/evertoken/evertoken/tokenstore"
)

// Encode returns a record as JSON, unless it is longer than a store would read.
func Encode(rec *tokenstore.Record) ([]byte, error) {
	data, err := rec.MarshalJSON()
	if err == nil && len(data) > tokenstore.MaxRecord {
		return nil, fmt.Errorf("%w: it has %d bytes, and may have %d", tokenstore.ErrTooLong, len(data), tokenstore.MaxRecord)
	}
	return data, err
}
