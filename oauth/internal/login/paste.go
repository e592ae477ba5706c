package login

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// maxPastes ends the asking when ReadRedirect returns at once, for ever.
const maxPastes = 20

// readPastes asks the person for the address until one fits.
func (l *Login) readPastes(ctx context.Context) {
	for range maxPastes {
		text, err := l.person.ReadRedirect(ctx)
		if err != nil || ctx.Err() != nil {
			return
		}
		query, err := parsePasted(text, l.redirectURL)
		if err == nil && !l.answeredBy(query) {
			err = ErrState
		}
		if err == nil {
			l.offer(ctx, query)
			return
		}
		l.notify(ctx, fmt.Sprintf("That does not work: %v. Copy the whole address from the browser's address bar.", err))
	}
}

var errPaste = errors.New("this is not the address of the login's last page")

// parsePasted reads what a person copied: the address the browser ended on, or
// its query. White space inside comes from terminals that wrap lines. An address
// with another path than the redirect URL's is that of another login: with a path
// for each server, of a login there (RFC 9700 section 4.4.2.2).
func parsePasted(text, redirectURL string) (url.Values, error) {
	text = strings.Trim(strings.Join(strings.Fields(text), ""), `"'<>`)
	text, _, _ = strings.Cut(text, "#")
	if address, query, found := strings.Cut(text, "?"); found {
		if address != "" && pathOf(address) != pathOf(redirectURL) {
			return nil, errPaste
		}
		text = query
	}
	query, err := url.ParseQuery(text)
	if err != nil || (query.Get("code") == "" && query.Get("error") == "") {
		return nil, errPaste
	}
	return query, nil
}

// pathOf returns the path of an address, which may lack its scheme: browsers do not
// show it.
func pathOf(address string) string {
	if _, rest, found := strings.Cut(address, "://"); found {
		address = rest
	}
	_, path, _ := strings.Cut(address, "/")
	return path
}
