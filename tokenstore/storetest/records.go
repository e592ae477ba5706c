package storetest

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/tokenstore"
)

var recordTests = []test{
	{
		"GetAbsent",
		"Get of a name that holds no record returns no record and an error that wraps ErrNotFound",
		func(c *check) { c.wantAbsent("absent") },
	},
	{
		"DeleteAbsent",
		"Delete of a name that holds no record fails with ErrNotFound, whatever the version",
		func(c *check) {
			for _, version := range []uint64{0, 1, 1 << 52} {
				c.wantErr("Delete of an absent record", c.store.Delete(c.ctx, "absent", version), tokenstore.ErrNotFound)
			}
		},
	},
	{
		"RoundTripOfEveryField",
		"Get returns every field of what Set was given: tokens, times, marks, ancestors, extra and unknown fields",
		func(c *check) {
			rec := full()
			c.wantRecord("full", rec, c.set("full", rec))
		},
	},
	{
		"RoundTripOfFewFields",
		"what a record does not have, it does not have after Get either",
		func(c *check) {
			for name, rec := range map[string]*tokenstore.Record{
				"access token only":  {Tokens: &oauth.TokenPair{AccessToken: secret}},
				"refresh token only": {Tokens: &oauth.TokenPair{RefreshToken: secret}},
				"no tokens":          {NotBefore: time.Unix(1_800_000_000, 0)},
			} {
				c.wantRecord(name, rec, c.set(name, rec))
			}
		},
	},
	{
		"ReplaceLeavesNothingBehind",
		"Set replaces the whole record: no field of the old one shows in the new one",
		func(c *check) {
			version := c.set("default", full())
			next := record("next")
			next.Version = version
			c.wantRecord("default", next, c.set("default", next))
		},
	},
	{
		"LargePair",
		"a pair of 64 KiB is kept whole: servers put group lists into tokens",
		func(c *check) {
			rec := full()
			rec.Tokens.AccessToken = strings.Repeat(secret+".", 64<<10/len(secret+"."))
			rec.Tokens.Extra["groups"] = json.RawMessage(`"` + strings.Repeat("g", 16<<10) + `"`)
			c.wantRecord("large", rec, c.set("large", rec))
		},
	},
	{
		"SetLeavesItsArgumentAlone",
		"Set does not modify the record it is given",
		func(c *check) {
			rec := full()
			c.set("default", rec)
			if fields := diff(rec, full()); len(fields) > 0 {
				c.Errorf("Set changed %v in the caller's record", fields)
			}
		},
	},
	{
		"SetKeepsItsOwnCopy",
		"what the caller does to a record after Set does not change the stored one",
		func(c *check) {
			rec := full()
			version := c.set("default", rec)
			scribble(rec)
			c.wantRecord("default", full(), version)
		},
	},
	{
		"GetReturnsTheCallersOwnCopy",
		"what a caller does to the record that Get returned changes neither the stored one nor another caller's",
		func(c *check) {
			version := c.set("default", full())
			other := c.get("default")
			scribble(c.get("default"))
			c.wantRecord("default", full(), version)
			want := full()
			want.Version = version
			if fields := diff(other, want); len(fields) > 0 {
				c.Errorf("another caller's record changed in %v", fields)
			}
		},
	},
	{
		"SessionsAreApart",
		"a change of one session leaves all others alone",
		func(c *check) {
			a, b := c.set("a", record("a")), c.set("b", record("b"))
			if err := c.store.Delete(c.ctx, "a", a); err != nil {
				c.Fatalf("Delete: %v", err)
			}
			c.wantAbsent("a")
			if got := c.get("b"); got.Version != b || got.Tokens.AccessToken != pair("b").AccessToken {
				c.Errorf("deleting session a changed session b")
			}
		},
	},
	{
		"ErrorsHoldNoSecret",
		"no error contains a token",
		func(c *check) {
			c.set("default", record("1"))
			_, conflict := c.store.Set(c.ctx, "default", record("2"))
			_, invalid := c.store.Set(c.ctx, "", record("3"))
			for _, err := range []error{conflict, invalid, c.store.Delete(c.ctx, "default", 1)} {
				if strings.Contains(errText(err), secret) {
					c.Errorf("an error quotes a token")
				}
			}
		},
	},
}
