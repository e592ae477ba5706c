package oauthtest

// A Catalogue is what real servers, and what stands in front of them, have answered,
// by public reports. Tests play each case of a list.
type Catalogue struct {
	// OddAnswers are good answers in forms that were seen from servers, and from what
	// stands between them and their clients.
	OddAnswers []OddAnswer
	// PassingRefusals are the refusals of what stands in front of token endpoints, and
	// of their own overload protection. Each was reported from a refresh that worked
	// again some minutes or hours later, so none says anything about the refresh
	// token. Script them with Refusal.Fault.
	PassingRefusals []Refusal
	// ClientRefusals are how servers refuse a client, and with it all of its sessions,
	// until its secret is renewed or its registration mended. Script them with
	// Refusal.Fault.
	ClientRefusals []Refusal
	// DeadAnswers are answers with status 200 by which token endpoints tell that a
	// refresh token is dead, in words that are not an OAuth error (RFC 6749 section
	// 5.2) or in none. Script them with Refusal.Fault.
	DeadAnswers []Refusal
	// RefreshRefusals are the ways in which servers announce a dead refresh token,
	// other than 400 invalid_grant, for Quirks.DeadRefresh.
	RefreshRefusals []Refusal
	// AccessRefusals are the ways in which APIs announce a dead access token, other
	// than 401 with a good challenge, for Quirks.DeadAccess.
	AccessRefusals []Refusal
	// TokenTypes are values of token_type that servers send with tokens which their
	// APIs take as Bearer tokens. Script them with Fault.Edit:
	//
	//	s.Script(oauthtest.Fault{Times: -1, Edit: func(fields map[string]any) { fields["token_type"] = "JWT" }})
	TokenTypes []string
}

// Cases returns the catalogue. The lists are the caller's own.
func Cases() Catalogue {
	return Catalogue{
		OddAnswers:      oddAnswers(),
		PassingRefusals: passingRefusals(),
		ClientRefusals:  clientRefusals(),
		DeadAnswers:     deadAnswers(),
		RefreshRefusals: refreshRefusals(),
		AccessRefusals:  accessRefusals(),
		TokenTypes:      tokenTypes(),
	}
}
