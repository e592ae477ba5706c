package oauth

import (
	"errors"
	"net/http"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// A Presentation says how an API wants to be shown an access token. The zero value is
// what RFC 6750 section 2.1 has: "Authorization: Bearer" and the token, or DPoP's scheme.
// APIs of one's own want it otherwise:
//
//	Presentation{Scheme: "JWT"}                                  // Authorization: JWT …
//	Presentation{Header: "Authorization"}                        // Authorization: …
//	Presentation{Header: "X-Token"}                              // X-Token: …
//	Presentation{Header: "X-Auth", Scheme: "Token"}              // X-Auth: Token …
//	Presentation{Cookie: "access_token"}                         // Cookie: access_token=…
//	Presentation{Cookie: "at", SignatureCookie: "at_signature"}  // a JWT in two cookies
//
// It is never in a URL, as some APIs would have it: URLs stay in logs, in histories, and
// in what browsers and proxies pass on (RFC 6750 section 5.3, RFC 9700 section 4.3.2).
//
// Tokens that are bound to a key (DPoP) are presented by their own rules all the same.
type Presentation struct {
	// Header is the header that carries the token. Empty means Authorization.
	Header string
	// Scheme is the word before the token. Empty means no word with a Header, and the
	// token's type without; the word none is refused.
	Scheme string
	// Cookie is the cookie that carries the token, in place of a header.
	Cookie string
	// SignatureCookie is a cookie for the last part of a JWT, where Cookie has the others.
	SignatureCookie string
}

// Check returns what makes p unusable, or nil: ErrMisconfigured.
func (p Presentation) Check() error {
	canonical := http.CanonicalHeaderKey(p.Header)
	switch {
	case p.Cookie != "" && (p.Header != "" || p.Scheme != ""):
		return wrongPresentation("a token goes by header or by cookie, and not by both")
	case p.Scheme == "none":
		return wrongPresentation("for no scheme name the Header, which may be Authorization, and leave Scheme empty")
	case p.SignatureCookie != "" && p.Cookie == "", p.SignatureCookie != "" && p.SignatureCookie == p.Cookie:
		return wrongPresentation("SignatureCookie needs a Cookie of another name beside it")
	case canonical == "Cookie" || !wire.IsSentAsGiven(canonical):
		return wrongPresentation("the header " + canonical + " cannot carry a token")
	}
	for _, word := range []string{p.Header, p.Scheme, p.Cookie, p.SignatureCookie} {
		if word != "" && !wire.IsHeaderWord(word) {
			return wrongPresentation("names and schemes are single words, as headers have them")
		}
	}
	return nil
}

func wrongPresentation(what string) error {
	return &Error{Op: "present", Kind: ErrMisconfigured, Err: errors.New("Presentation: " + what)}
}

// Set puts an access token into the header of a request, in place of one that is there.
// p must have passed Check. The type of the token is Bearer.
func (p Presentation) Set(h http.Header, accessToken string) error {
	if !member.UsableToken(accessToken) || p.Cookie != "" && strings.Contains(accessToken, ";") {
		return wrongPresentation("the access token has characters that no header can carry")
	}
	switch {
	case p.Cookie != "":
		p.setCookies(h, accessToken)
	case p.Scheme != "":
		h.Set(p.header(), p.Scheme+" "+accessToken)
	case p.Header != "":
		h.Set(p.Header, accessToken)
	default:
		h.Set("Authorization", "Bearer "+accessToken)
	}
	return nil
}

// header returns the name of the header that carries the token.
func (p Presentation) header() string {
	if p.Header == "" {
		return "Authorization"
	}
	return p.Header
}

// setCookies adds the token's cookies to those of a request, and takes those away that a
// jar may have kept under their names.
func (p Presentation) setCookies(h http.Header, token string) {
	var kept []string
	for pair := range strings.SplitSeq(strings.Join(h["Cookie"], "; "), ";") {
		pair = strings.TrimSpace(pair)
		if name, _, _ := strings.Cut(pair, "="); pair != "" && name != p.Cookie && name != p.SignatureCookie {
			kept = append(kept, pair)
		}
	}
	if dot := strings.LastIndexByte(token, '.'); p.SignatureCookie != "" && dot >= 0 {
		kept = append(kept, p.Cookie+"="+token[:dot], p.SignatureCookie+"="+token[dot+1:])
	} else {
		kept = append(kept, p.Cookie+"="+token)
	}
	h["Cookie"] = []string{strings.Join(kept, "; ")}
}

// Has reports whether a request's header carries a token by p already.
func (p Presentation) Has(h http.Header) bool {
	_, found := h[http.CanonicalHeaderKey(p.header())]
	return found && p.Cookie == ""
}
