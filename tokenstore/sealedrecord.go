package tokenstore

import (
	"encoding/json"
	"errors"
	"fmt"
)

// sealedField is the only field of a sealed record, its version aside.
const sealedField = "sealed"

// sealedFormat is the format of an envelope that this package writes. Whatever
// changes how its content is to be understood raises it.
const sealedFormat = 1

// An envelope is the JSON form of a sealed record.
type envelope struct {
	Format int    `json:"v"`
	Key    string `json:"key"`  // Key.ID of the key it is sealed with
	Data   []byte `json:"data"` // nonce and ciphertext of the record's JSON
}

// additionalData is authenticated along with the content, so that an envelope
// opens only in its own format, in its own store and as its own session. The name comes last:
// whatever it is, no two of these are alike.
//
// Without a scope it is what earlier versions have sealed with.
func additionalData(scope, name string) []byte {
	if scope == "" {
		return fmt.Appendf(nil, "evertoken: sealed record v%d\x00%s", sealedFormat, name)
	}
	return fmt.Appendf(nil, "evertoken: sealed record v%d of\x00%d:%s\x00%s", sealedFormat, len(scope), scope, name)
}

// seal returns the record to be stored instead of rec in a store with the given scope,
// which may be empty. Outside is the version, which is for the store to compare and to
// choose; everything is inside.
func seal(key Key, scope, name string, rec *Record) (*Record, error) {
	content, err := rec.MarshalJSON()
	if err != nil {
		return nil, err
	}
	aead, err := key.aead(name)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(envelope{sealedFormat, key.ID(), aead.Seal(nil, nil, content, additionalData(scope, name))})
	if err != nil {
		return nil, err
	}
	return &Record{Version: rec.Version, Unknown: map[string]json.RawMessage{sealedField: raw}}, nil
}

// isSealed reports whether stored is a sealed record. One with tokens in the
// clear is not, even if there is an envelope beside them: a program that uses the
// other store directly has logged in over a sealed session.
func isSealed(stored *Record) bool {
	_, ok := stored.Unknown[sealedField]
	return ok && stored.Tokens == nil
}

// sealedIn returns the envelope in stored. What is beside it is not looked at.
func sealedIn(stored *Record) (*envelope, error) {
	if !isSealed(stored) {
		return nil, fmt.Errorf("%w: if it was saved before sealing was switched on, call SealPlain; if not, delete it from the store beneath", ErrNotSealed)
	}
	var e envelope
	err := json.Unmarshal(stored.Unknown[sealedField], &e)
	switch {
	case e.Format > sealedFormat: // first, since its fields may have other types
		return nil, ErrNewerFormat
	case err != nil || e.Format != sealedFormat:
		return nil, errTampered
	}
	return &e, nil
}

// errTampered quotes nothing of what was found.
var errTampered = fmt.Errorf("%w: what is stored was changed since it was sealed, or belongs to another session, or to another directory or store: put it back where it was, or delete it from the store beneath and log in again", ErrSealed)

// open returns the record in e, without a version, and whether it is bound to the scope. One
// that an earlier version has sealed is not.
func (e *envelope) open(key Key, scope, name string) (rec *Record, bound bool, err error) {
	aead, err := key.aead(name)
	if err != nil {
		return nil, false, err
	}
	bound = true
	content, err := aead.Open(nil, nil, e.Data, additionalData(scope, name))
	if err != nil && scope != "" {
		bound = false
		content, err = aead.Open(nil, nil, e.Data, additionalData("", name))
	}
	if err != nil {
		return nil, false, errTampered
	}
	rec, err = decode(content)
	if err != nil && !errors.Is(err, ErrNewerFormat) {
		return nil, false, errTampered
	}
	return rec, bound, err
}
