package dialect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// MarshalJSON implements json.Marshaler. It writes the form that [Parse] reads: what is
// zero is left out, and Parse returns the same dialect. A dialect that [NewClient] could not
// use is an error.
func (d Dialect) MarshalJSON() ([]byte, error) {
	form, err := d.form()
	if err != nil {
		return nil, err
	}
	return json.Marshal(form)
}

// MarshalYAML implements the Marshaler interfaces of YAML packages. It writes what
// MarshalJSON writes.
func (d Dialect) MarshalYAML() (any, error) {
	form, err := d.form()
	if err != nil {
		return nil, err
	}
	return form.plain(), nil
}

func (d Dialect) form() (fields, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	d = d.clone() // whose entries are pointed to
	return fieldsOf(&d), nil
}

// fields are an object of the form with the order of its members.
type fields []field

type field struct {
	name  string
	value any // fields, or what encoding/json and YAML packages write alike
}

// fieldsOf returns the form of an object. What is zero is left out.
func fieldsOf(o object) fields {
	form := fields{} // {} and not null
	for _, e := range o.entries() {
		if value := formOf(e.at); value != nil {
			form = append(form, field{e.name, value})
		}
	}
	return form
}

// formOf returns the form of what an entry's at points to, or nil if that is zero.
func formOf(at any) any {
	if reflect.ValueOf(at).Elem().IsZero() {
		return nil
	}
	switch at := at.(type) {
	case object:
		return fieldsOf(at)
	case *[]Request:
		return listOf(*at, func(r *Request) any { return fieldsOf(r) })
	case *[]Field:
		return listOf(*at, func(f *Field) any { return fieldsOf(f) })
	case *[]Error:
		return listOf(*at, func(e *Error) any { return fieldsOf(e) })
	case *[]string:
		return listOf(*at, func(text *string) any { return *text })
	case *names:
		list := strings.Fields(string(*at))
		if len(list) == 1 {
			return list[0]
		}
		return listOf(list, func(text *string) any { return *text })
	case *string:
		return *at
	case *int:
		return *at
	case *bool:
		return *at
	case *grace:
		text, _ := at.MarshalText()
		return string(text)
	case *error:
		for _, m := range meanings {
			if m.err == *at {
				return m.name
			}
		}
	}
	panic(fmt.Sprintf("dialect: a field of the type %T has no form", at))
}

func listOf[T any](list []T, one func(*T) any) []any {
	form := make([]any, len(list))
	for i := range list {
		form[i] = one(&list[i])
	}
	return form
}

// MarshalJSON implements json.Marshaler: a map would lose the order.
func (f fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, each := range f {
		value, err := json.Marshal(each.value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", each.name, value)
	}
	return []byte("{" + b.String() + "}"), nil
}

// plain returns f without types that YAML packages do not know.
func (f fields) plain() map[string]any {
	form := make(map[string]any, len(f))
	for _, each := range f {
		form[each.name] = plainValue(each.value)
	}
	return form
}

func plainValue(value any) any {
	switch value := value.(type) {
	case fields:
		return value.plain()
	case []any:
		list := make([]any, len(value))
		for i, each := range value {
			list[i] = plainValue(each)
		}
		return list
	}
	return value
}
