package connect_test

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/tokenstore"
)

// What a session needs is in records beside it, which have the key of the session.
func TestSessionOutlivesAChangeOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		beneath, older, newer := p.store, tokenstore.NewKey(), tokenstore.NewKey()
		p.launch(t, "in the clear")

		sealed := tokenstore.NewSealed(beneath, tokenstore.Keys(older))
		if n, err := sealed.SealPlain(t.Context()); err != nil {
			t.Fatalf("SealPlain: %d, %v", n, err)
		}
		p.store = sealed
		p.launch(t, "after SealPlain")

		if n, err := tokenstore.NewSealed(beneath, tokenstore.Keys(newer, older)).Reseal(t.Context()); err != nil {
			t.Fatalf("Reseal: %d, %v", n, err)
		}
		p.store = tokenstore.NewSealed(beneath, tokenstore.Keys(newer))
		p.launch(t, "with the new key alone")
		p.want(t, "all in all", 1, 1)
	})
}

func TestSessionOutlivesAMoveOfItsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.launch(t, "before")
		from, to := p.store.(tokenstore.RecordLister), new(tokenstore.Memory)
		names, err := from.Records(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := tokenstore.Move(t.Context(), p.store, to, name); err != nil {
				t.Error(err)
			}
		}
		p.store = to
		p.launch(t, "after")
		p.want(t, "after", 1, 1)
	})
}

// records returns the names of what a process keeps, by what it is.
func (p *person) records() map[string]string {
	session := connect.SessionName(p.server.Resource(), p.server.Issuer(), "")
	return map[string]string{
		"the session": session, "the place": connect.PlaceRecord(p.server.Resource(), ""),
		"the client": connect.ClientRecord(p.server.Issuer()), "the login": connect.LoginRecord(session),
	}
}

// A writer to the directory can leave a record there, and not seal it.
func TestRecordInTheClearCountsAsNoneWhereAllAreSealed(t *testing.T) {
	planted := &tokenstore.Record{Unknown: map[string]json.RawMessage{"connect": json.RawMessage(`{}`)}}
	for what := range newPerson(oauthtest.Config{}).records() {
		if what == "the session" {
			continue // of that SealPlain tells
		}
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				beneath := p.store
				p.store = tokenstore.NewSealed(beneath, tokenstore.Keys(theKey))
				if _, err := beneath.Set(t.Context(), p.records()[what], planted); err != nil {
					t.Fatal(err)
				}
				p.launch(t, "first start")
				p.launch(t, "second start")
				p.want(t, "two starts", 1, 1)
			})
		})
	}
}

// The key may come back, so a call changes nothing. Forget is for when it does not.
func TestForgetDeletesWhatCannotBeOpened(t *testing.T) {
	names := newPerson(oauthtest.Config{}).records()
	names["all of it"] = ""
	for what := range names {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPerson(oauthtest.Config{})
				beneath := p.store
				p.store = tokenstore.NewSealed(beneath, tokenstore.Keys(theKey))
				p.launch(t, "first start")
				for other, name := range p.records() {
					rec, err := beneath.Get(t.Context(), name)
					if err != nil {
						t.Fatal(err)
					}
					if other == what || what == "all of it" {
						continue
					}
					if err := beneath.Delete(t.Context(), name, rec.Version); err != nil {
						t.Fatal(err)
					}
				}
				p.store = tokenstore.NewSealed(beneath, tokenstore.Keys(tokenstore.NewKey()))
				s := p.process(t)
				for n := 0; call(s) != nil; n++ {
					if err := call(s); !errors.Is(err, tokenstore.ErrSealed) || n == 2 {
						t.Fatalf("a call after Forget, %d times: %v; want ErrSealed, and no error after two", n, err)
					}
					if err := s.Forget(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if p.windows.Load() != 2 {
					t.Errorf("%d windows; want a second one after Forget", p.windows.Load())
				}
			})
		})
	}
}

func TestForgetWithoutASessionSaysSoAfterALoginThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(oauthtest.Config{})
		p.refuses.Store(true)
		s := p.process(t)
		if call(s) == nil {
			t.Error("the call has succeeded although the person refuses")
		}
		if err := s.Forget(t.Context()); !errors.Is(err, tokenstore.ErrNotFound) {
			t.Errorf("Forget: %v; want ErrNotFound", err)
		}
	})
}
