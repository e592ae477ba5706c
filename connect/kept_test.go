package connect_test

import (
	"testing"
	"testing/synctest"

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
