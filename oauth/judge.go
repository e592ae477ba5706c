package oauth

import "github.com/evertoken/evertoken/oauth/internal/wire"

// judge decides what an answer means: exactly one of pair and error is non-nil.
// Only a closed list of codes means that a login is required.
func judge(a *wire.Answer) (*TokenPair, *Error) {
	fields := a.Fields()
	if wire.IsSuccess(a.Status) {
		members, closed := a.TokenFields(fields)
		if pair := ReadPair(a, members); pair != nil && wire.Suffices(pair.RefreshToken, closed) {
			return pair, nil
		}
	}
	fail := a.Failure(fields)
	a.Miss(fail)
	return nil, (*Error)(fail)
}
