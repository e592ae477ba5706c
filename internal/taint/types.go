package taint

import (
	"math/big"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// CheckTypes reports the exported types of a package that no Print has shown with a secret in
// them, but those of without, which says why a type has none. list is the package's file in
// api/. So a type that is added later has to be printed, or its reason given.
//
// Interfaces, functions, which print as addresses, and numbers need neither. What Print got is
// looked at only now, so the goroutines that use it must have ended.
func (b *Book) CheckTypes(t testing.TB, list string, without map[string]string) {
	t.Helper()
	data, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	pkg := strings.TrimSuffix(filepath.Base(list), ".txt")
	pkg = pkg[strings.LastIndex(pkg, "_")+1:]
	for line := range strings.Lines(string(data)) {
		name, is := holder(pkg, strings.TrimSuffix(line, "\n"))
		if !is {
			continue
		}
		_, excused := without[name]
		switch held := b.held(name); {
		case held && excused:
			t.Errorf("%s has had a secret, and is said to have none: %s", name, without[name])
		case !held && !excused:
			t.Errorf("no %s with a secret has been printed: print one, or say why it has none", name)
		}
	}
	for name := range without {
		if base, word, _ := strings.Cut(name, "."); base == pkg && !strings.Contains(string(data), "\ntype "+word+" ") {
			t.Errorf("there is no %s any more", name)
		}
	}
}

// holder returns the type that a line of api/ declares, as package and name, if a value of it
// can hold a secret. An alias is the type that it stands for.
func holder(pkg, line string) (name string, can bool) {
	decl, is := strings.CutPrefix(line, "type ")
	word, kind, two := strings.Cut(decl, " ")
	if !is || !two || strings.Contains(word, ".") || strings.Contains(kind, ", ") && !strings.HasPrefix(kind, "func(") {
		return "", false
	}
	if of, alias := strings.CutPrefix(kind, "= "); alias {
		return of, true
	}
	switch {
	case kind == "interface", strings.HasPrefix(kind, "func("), strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "", false
	}
	return pkg + "." + word, true
}

// held reports whether a value of a type that Print got has a secret in it.
func (b *Book) held(name string) bool {
	values := b.printed[name]
	for _, v := range values {
		if b.holds(reflect.ValueOf(v), make(map[visit]bool)) {
			return true
		}
	}
	return false
}

// note keeps a value for CheckTypes.
func (b *Book) note(value any) {
	typ := reflect.TypeOf(value)
	for typ != nil && typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ == nil || typ.PkgPath() == "" {
		return
	}
	name := path.Base(typ.PkgPath()) + "." + typ.Name()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.printed == nil {
		b.printed = make(map[string][]any)
	}
	b.printed[name] = append(b.printed[name], value)
}

// A visit is a place that holds has been at.
type visit struct {
	at  uintptr
	typ reflect.Type
}

// holds reports whether a secret can be reached from v.
func (b *Book) holds(v reflect.Value, been map[visit]bool) bool {
	switch v.Kind() {
	case reflect.String:
		return b.isSecret(v.String())
	case reflect.Interface:
		return b.holds(v.Elem(), been)
	case reflect.Pointer:
		here := visit{v.Pointer(), v.Type()}
		if v.IsNil() || been[here] || v.Type() == reflect.TypeFor[*Book]() {
			return false
		}
		been[here] = true
		return b.holds(v.Elem(), been)
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			if b.holds(entry.Key(), been) || b.holds(entry.Value(), been) {
				return true
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return b.isSecret(bytesOf(v))
		}
		if v.Type().Elem() == reflect.TypeFor[big.Word]() {
			return b.isNumber(v)
		}
		for i := range v.Len() {
			if b.holds(v.Index(i), been) {
				return true
			}
		}
	case reflect.Struct:
		return b.holdsAField(v, been)
	}
	return false
}

func (b *Book) holdsAField(v reflect.Value, been map[visit]bool) bool {
	typ := v.Type()
	for i := range v.NumField() {
		f := v.Field(i)
		// An atomic.Pointer[T] has its T in the type of its first field alone.
		if typ.PkgPath() == "sync/atomic" && f.Kind() == reflect.UnsafePointer && typ.Field(0).Type.Kind() == reflect.Array {
			f = reflect.NewAt(typ.Field(0).Type.Elem().Elem(), f.UnsafePointer())
		}
		if b.holds(f, been) {
			return true
		}
	}
	return false
}

// bytesOf returns a slice or an array of bytes as a string.
func bytesOf(v reflect.Value) string {
	data := make([]byte, v.Len())
	for i := range data {
		data[i] = byte(v.Index(i).Uint())
	}
	return string(data)
}

// isNumber reports whether the words of a big.Int are a secret.
func (b *Book) isNumber(words reflect.Value) bool {
	list := make([]big.Word, words.Len())
	for i := range list {
		list[i] = big.Word(words.Index(i).Uint())
	}
	return b.isSecret(string(new(big.Int).SetBits(list).Bytes()))
}

// isSecret reports whether a text has a secret in one of its forms.
func (b *Book) isSecret(text string) bool {
	for _, s := range b.secrets {
		if s.in(text) >= 0 {
			return true
		}
	}
	return false
}
