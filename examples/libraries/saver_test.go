package libraries_test

import (
	"context"
	"reflect"
	"testing"

	"golang.org/x/oauth2"
)

// A saver keeps tokens as programs do that know x/oauth2 alone: it saves each token
// that differs from the one before.
type saver struct {
	source  oauth2.TokenSource
	differs func(a, b *oauth2.Token) bool
	last    *oauth2.Token
	saved   int
}

func (s *saver) Token() (*oauth2.Token, error) {
	tok, err := s.source.Token()
	if err == nil && (s.last == nil || s.differs(s.last, tok)) {
		s.last, s.saved = tok, s.saved+1
	}
	return tok, err
}

func otherAccess(a, b *oauth2.Token) bool { return a.AccessToken != b.AccessToken }

func TestProgramThatComparesAccessTokensSavesOncePerRenewal(t *testing.T) {
	for name, wired := range map[string]func(day, *saver) oauth2.TokenSource{
		"around the manager": func(d day, s *saver) oauth2.TokenSource { s.source = d; return s },
		"below a cache": func(d day, s *saver) oauth2.TokenSource {
			s.source = d
			return oauth2.ReuseTokenSource(nil, s)
		},
		"around a cache": func(d day, s *saver) oauth2.TokenSource {
			s.source = oauth2.ReuseTokenSource(nil, d)
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachDay(t, func(t *testing.T, d day) {
				s := &saver{differs: otherAccess}
				source := wired(d, s)
				d.held(t, calling(source), nil)
				if want := d.renewals() + 1; s.saved != want { // the login too
					t.Errorf("saved %d times; want %d", s.saved, want)
				}
			})
		})
	}
}

// One that compares all there is may save a token a second time, with the Expiry
// that it has in the last ten seconds before a renewal.
func TestProgramThatComparesWholeTokensSavesEachRenewal(t *testing.T) {
	for name, differs := range map[string]func(a, b *oauth2.Token) bool{
		"values":   func(a, b *oauth2.Token) bool { return !reflect.DeepEqual(a, b) },
		"pointers": func(a, b *oauth2.Token) bool { return a != b },
	} {
		t.Run(name, func(t *testing.T) {
			eachDay(t, func(t *testing.T, d day) {
				s := &saver{source: d, differs: differs}
				d.held(t, calling(s), nil)
				if least := d.renewals() + 1; s.saved < least || s.saved > 2*least {
					t.Errorf("saved %d times for %d pairs", s.saved, least)
				}
			})
		})
	}
}

// calling asks the source for a token.
func calling(source oauth2.TokenSource) call {
	return func(context.Context) error {
		_, err := source.Token()
		return err
	}
}
