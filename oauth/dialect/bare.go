package dialect

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// bare reads an answer that is an access token and nothing else, or returns nil: what
// tutorials for ASP.NET Core have by "return Ok(token)", as a JSON string or as plain text.
// Only a JWT is taken for one, since "ok" is a text, too.
func bare(a *wire.Answer) *oauth.TokenPair {
	if !a.Whole {
		return nil
	}
	body, token := bytes.TrimSpace(a.Body), ""
	if json.Unmarshal(body, &token) != nil {
		token = string(body)
	}
	if header, claims := member.JWT(strings.TrimSpace(token)); header == nil || claims == nil {
		return nil
	}
	raw, _ := json.Marshal(strings.TrimSpace(token)) // strings never fail
	return oauth.ReadPair(a, member.Fields{"access_token": raw})
}
