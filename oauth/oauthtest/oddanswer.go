package oauthtest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
)

// An OddAnswer is a good answer to a refresh in an odd form. The server has carried
// the refresh out, so a client that does not find the tokens in it loses the session
// on a server where refresh tokens rotate.
type OddAnswer struct {
	// Name tells it from others in a test, such as "bom".
	Name string
	// Fault is what to script. It hits one request; change Times for more.
	Fault Fault
	// TokenPath is where in the answer the tokens stand, such as "authed_user". Empty
	// means where RFC 6749 section 5.1 has them.
	TokenPath string
	// Cut tells that the refresh token is not whole, and so lost.
	Cut bool
}

// oddAnswers returns good answers in odd forms.
func oddAnswers() []OddAnswer {
	return []OddAnswer{
		odd("bom", "\ufeff"+goodAnswer),
		odd("bom-crlf", "\ufeff\r\n"+goodAnswer+"\r\n"),
		odd("form", "access_token=$escaped_access_token&expires_in=$expires_in&refresh_token=$escaped_refresh_token&scope=&token_type=bearer").
			as("application/x-www-form-urlencoded; charset=utf-8"),
		odd("length-too-long", goodAnswer).endingEarly(),
		odd("garbage-behind", goodAnswer+"\n<!-- 0.012s -->"),
		odd("warning-before", "<br />\n<b>Notice</b>: x in y on line 3<br />\n"+goodAnswer),
		odd("trailing-comma", "{"+goodMembers+",}"),
		odd("array-around", "["+goodAnswer+"]"),
		odd("other-case", `{"Access_token":"$access_token","token_type":"$token_type","Expires_in":$expires_in,"Refresh_token":"$refresh_token"}`),
		odd("comments", "/* cached */{"+goodMembers+" // end\n}"),
		odd("nul-behind", goodAnswer+"\x00"),
		odd("latin-1", "{\"name\":\"J\xf6rg\","+goodMembers+"}"),
		odd("content-type-text", goodAnswer).as("text/plain"),
		odd("content-type-page", goodAnswer).as("text/html; charset=utf-8"),
		odd("content-type-none", goodAnswer).as(),

		odd("cut-behind-the-members", "{"+goodMembers).endingEarly(),
		odd("cut-in-the-next-member", "{"+goodMembers+`,"scope":"ap`).endingEarly(),
		odd("cut-in-the-refresh-token", "{"+goodStart+`,"refresh_token":"`).endingEarly().cut(),
		{Name: "cut-in-half-of-the-refresh-token", Fault: Fault{Rewrite: cutInRefreshToken, EndsEarly: true}, Cut: true},

		odd("nested-authed-user", `{"ok":true,"authed_user":`+goodAnswer+"}").below("authed_user"),
		odd("nested-body", `{"status":0,"body":`+goodAnswer+"}").below("body"),
	}
}

// The good answer that odd answers are made from, with variables for os.Expand.
const (
	goodStart   = `"access_token":"$access_token","token_type":"$token_type","expires_in":$expires_in`
	goodMembers = goodStart + `,"refresh_token":"$refresh_token"`
	goodAnswer  = "{" + goodMembers + "}"
)

// odd returns an odd answer with the tokens of the server's own in a template.
func odd(name, template string) OddAnswer {
	return OddAnswer{Name: name, Fault: Fault{Rewrite: func(body []byte) []byte {
		var own struct {
			AccessToken  string      `json:"access_token"`
			RefreshToken string      `json:"refresh_token"`
			TokenType    string      `json:"token_type"`
			ExpiresIn    json.Number `json:"expires_in"`
		}
		if json.Unmarshal(body, &own) != nil || own.AccessToken == "" {
			return body // a refusal
		}
		values := map[string]string{
			"access_token": own.AccessToken, "escaped_access_token": url.QueryEscape(own.AccessToken),
			"refresh_token": own.RefreshToken, "escaped_refresh_token": url.QueryEscape(own.RefreshToken),
			"token_type": own.TokenType, "expires_in": own.ExpiresIn.String(),
		}
		return []byte(os.Expand(template, func(name string) string { return values[name] }))
	}}}
}

func cutInRefreshToken(body []byte) []byte { return cutIn(body, "refresh_token") }

// cutIn ends a JSON object in the middle of a member's value. A body without that
// member stays whole.
func cutIn(body []byte, member string) []byte {
	value, end := memberOf(body, member)
	return body[:end-(len(value)+1)/2]
}

// memberOf returns the value of a member of the JSON object in body, and where it
// ends: at the body's end if there is none.
func memberOf(body []byte, member string) (value json.RawMessage, end int) {
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, len(body)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil || d.Decode(&value) != nil {
			break
		}
		if name == member {
			return value, int(d.InputOffset())
		}
	}
	return nil, len(body)
}

// as changes the Content-Type; none leaves it out.
func (o OddAnswer) as(contentType ...string) OddAnswer {
	o.Fault.Header = http.Header{"Content-Type": contentType}
	return o
}

func (o OddAnswer) endingEarly() OddAnswer {
	o.Fault.EndsEarly = true
	return o
}

func (o OddAnswer) cut() OddAnswer {
	o.Cut = true
	return o
}

func (o OddAnswer) below(path string) OddAnswer {
	o.TokenPath = path
	return o
}
