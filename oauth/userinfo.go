package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// Userinfo is what the server tells about the person who logged in (OpenID
// Connect Core section 5.3.2). All but Subject may be missing.
type Userinfo struct {
	// Subject identifies the person at this issuer, and never changes. Names and
	// addresses may.
	Subject string
	// Name, PreferredUsername and Email are for display.
	Name, PreferredUsername, Email string
	// EmailVerified tells whether the server has checked Email.
	EmailVerified bool
	// Claims holds every member of the answer.
	Claims map[string]json.RawMessage
}

// Userinfo asks who has logged in (OpenID Connect Core section 5.3). The access
// token needs the scope openid at most servers. If t has an ID token, its subject
// must be the one in the answer (section 5.3.2).
//
// It sends one request and does not renew t: the Client of a refresh.Manager
// carries a fresh token. A token that is bound to a DPoP key goes with a proof; if
// that is refused for the lack of a nonce or for a wrong clock, the request is sent
// once more (RFC 9449 sections 7 and 9). Errors are of type [*Error], never ErrLoginRequired; a
// rejected access token is [ErrTransient] with Status 401. Signed answers are not
// supported ([ErrMisconfigured]). t is not modified. Safe for concurrent use.
func (c *Client) Userinfo(ctx context.Context, t *TokenPair) (*Userinfo, error) {
	if err := c.ready(opUserinfo, "Endpoints.Userinfo", c.cfg.Endpoints.Userinfo); err != nil {
		return nil, err
	}
	a, fail := c.present(ctx, opUserinfo, c.cfg.Endpoints.Userinfo, t)
	if fail != nil {
		return nil, fail
	}
	info, fail := judgeUserinfo(a, idTokenSubject(t.IDToken))
	if fail != nil {
		return nil, fail
	}
	return info, nil
}

var (
	errSignedUserinfo = errors.New("signed userinfo is not supported")
	errOtherSubject   = errors.New("the answer is about another person than the ID token")
)

// judgeUserinfo reads the answer: exactly one of result and error. subject is the
// one expected, or empty if any will do.
func judgeUserinfo(a *wire.Answer, subject string) (*Userinfo, *Error) {
	fields := a.Fields()
	info := &Userinfo{
		Subject:           fields.Text("sub"),
		Name:              fields.Text("name"),
		PreferredUsername: fields.Text("preferred_username"),
		Email:             fields.Text("email"),
		Claims:            fields,
	}
	_ = json.Unmarshal(fields["email_verified"], &info.EmailVerified) // anything but true is false
	switch {
	case wire.IsSuccess(a.Status) && info.Subject != "" && (subject == "" || info.Subject == subject):
		return info, nil
	case wire.IsSuccess(a.Status) && info.Subject != "":
		return nil, &Error{Op: a.Op, Kind: ErrMisconfigured, Status: a.Status, Sent: true, Err: errOtherSubject}
	}
	fail := (*Error)(a.InquiryFailure(fields))
	if a.Status == http.StatusUnauthorized {
		explainRejection(a, fail)
	}
	if kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); wire.IsSuccess(a.Status) && kind == "application/jwt" {
		fail.Kind, fail.Err = ErrMisconfigured, errSignedUserinfo
		fail.Hint = "register the client for plain JSON userinfo"
	}
	return nil, fail
}
