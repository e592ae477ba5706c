package connect

import (
	"maps"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/challenge"
)

// A need is what a caller wants of a login besides that there is one: more scope, or a login of
// another kind, by the API's challenge. The zero need asks for nothing.
type need struct{ want challenge.Challenge }

func (n need) isNone() bool { return n.want.Code() == "" }

// covers reports whether a caller that waits for n gets what m is, or learns that it is not to be had.
func (n need) covers(m need) bool {
	switch {
	case n.isNone() || m.isNone():
		return n.isNone() && m.isNone()
	case n.want.WantsLogin() || m.want.WantsLogin():
		same := func(name string) bool { return n.want.Params[name] == m.want.Params[name] }
		return same("error") && same("acr_values") && same("max_age")
	}
	return containsAll(n.want.Scopes(), m.want.Scopes())
}

// maxScopes bounds, in bytes, what the needs of several callers are together: a login does not
// ask for more than 4 KiB.
const maxScopes = 4 << 10

// and returns n with the scope of another need, if that is one for scope too.
func (n need) and(m need) need {
	if n.isNone() || m.isNone() || n.want.WantsLogin() || m.want.WantsLogin() {
		return n
	}
	union := strings.Join(oauth.UnionScopes(n.want.Scopes(), m.want.Scopes()), " ")
	if len(union) > maxScopes {
		return n
	}
	n.want.Params = maps.Clone(n.want.Params)
	n.want.Params["scope"] = union
	return n
}

func containsAll(list, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(list, name) })
}
