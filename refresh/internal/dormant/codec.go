package dormant

import (
	"encoding"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// The codec writes any struct of the kinds that a session is made of. A struct is a
// bit for each field that is not zero, and then those fields; a struct with fields that
// are not exported is what it marshals to. A field that is an interface is left out. What
// is read refers to the string that it is read from.

func encode(w []byte, v reflect.Value) []byte {
	if m, ok := marshal(v); ok {
		return text(w, m)
	}
	switch v.Kind() {
	case reflect.Bool: // it is not zero
	case reflect.String:
		w = text(w, v.String())
	case reflect.Int64:
		w = binary.AppendVarint(w, v.Int())
	case reflect.Uint64:
		w = binary.AppendUvarint(w, v.Uint())
	case reflect.Pointer:
		w = encode(w, v.Elem())
	case reflect.Struct:
		var set uint64
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() && f.Kind() != reflect.Interface {
				set |= 1 << i
			}
		}
		w = binary.AppendUvarint(w, set)
		for i := range v.NumField() {
			if set&(1<<i) != 0 {
				w = encode(w, v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return text(w, string(v.Bytes()))
		}
		w = binary.AppendUvarint(w, uint64(v.Len()))
		for i := range v.Len() {
			w = encode(w, v.Index(i))
		}
	case reflect.Map:
		fields := v.Interface().(map[string]json.RawMessage)
		w = binary.AppendUvarint(w, uint64(len(fields)))
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			w = text(text(w, name), string(fields[name]))
		}
	default:
		panic(unknown(v))
	}
	return w
}

func text(w []byte, s string) []byte {
	return append(binary.AppendUvarint(w, uint64(len(s))), s...)
}

// opaque reports whether a value has fields that only it can write.
func opaque(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.NumField() > 0 && !t.Field(0).IsExported()
}

// marshal returns what an opaque value writes.
func marshal(v reflect.Value) (string, bool) {
	if !opaque(v.Type()) {
		return "", false
	}
	var form []byte
	var err error
	switch m := v.Interface().(type) {
	case encoding.BinaryMarshaler:
		form, err = m.MarshalBinary()
	case json.Marshaler:
		form, err = m.MarshalJSON()
	default:
		panic(unknown(v))
	}
	if err != nil {
		panic(err) // stores write the same values all the time
	}
	return string(form), true
}

// A reader is the part of a string that is still to be read.
type reader string

func (r *reader) decode(v reflect.Value) {
	if r.unmarshal(v) {
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(r.text())
	case reflect.Int64:
		n := r.number()
		v.SetInt(int64(n>>1) ^ -int64(n&1))
	case reflect.Uint64:
		v.SetUint(r.number())
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.decode(v.Elem())
	case reflect.Struct:
		set := r.number()
		for i := range v.NumField() {
			if set&(1<<i) != 0 {
				r.decode(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(r.text()))
			return
		}
		n := int(r.number())
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			r.decode(v.Index(i))
		}
	case reflect.Map:
		n := r.number()
		fields := make(map[string]json.RawMessage, n)
		for range n {
			name := r.text()
			fields[name] = json.RawMessage(r.text())
		}
		v.Set(reflect.ValueOf(fields))
	default:
		panic(unknown(v))
	}
}

func (r *reader) unmarshal(v reflect.Value) bool {
	if !opaque(v.Type()) {
		return false
	}
	var err error
	switch m := v.Addr().Interface().(type) {
	case encoding.BinaryUnmarshaler:
		err = m.UnmarshalBinary([]byte(r.text()))
	case json.Unmarshaler:
		err = m.UnmarshalJSON([]byte(r.text()))
	default:
		panic(unknown(v))
	}
	if err != nil {
		panic(err) // it was written by marshal
	}
	return true
}

func (r *reader) number() (n uint64) {
	for shift := 0; ; shift += 7 {
		b := (*r)[0]
		*r = (*r)[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

func (r *reader) text() string {
	n := r.number()
	s := (*r)[:n]
	*r = (*r)[n:]
	return string(s)
}

func unknown(v reflect.Value) string {
	return fmt.Sprintf("dormant: a field is a %v; teach the codec about it", v.Type())
}
