package wire

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
)

// ErrorCode finds the error code of an answer: the string of RFC 6749 section
// 5.2, or the "reason" (else the "code") of an error object. Where that decides nothing,
// it is a word about the client, which ends no session, or one that can only mean this
// refresh token, wherever the answer has its codes.
func ErrorCode(fields member.Fields, endCodes []string) string {
	code := plainCode(fields, endCodes)
	if MeaningOf(OpRefresh, code).Kind != nil || IsListed(endCodes, code) {
		return code
	}
	for _, object := range errorObjects(fields) {
		for _, name := range codeMembers {
			word := CodeWord(object.Text(name))
			if MeaningOf(OpRefresh, word).Verdict == VerdictClient || namesGrant(word) {
				return word
			}
		}
	}
	return code
}

// namesGrant reports whether a word that ends sessions names the grant or the refresh
// token. Others, such as token_expired, a gateway also says of a request that lacks an
// access token.
func namesGrant(word string) bool {
	return word == "invalid_grant" || word == "bad_refresh_token" || word == "invalid_refresh_token"
}

// plainCode returns the error code that stands where RFC 6749 and most others have it.
// It returns "" for anything that does not look like a code, unless it is one that we
// or endCodes know.
func plainCode(fields member.Fields, endCodes []string) string {
	code := fields.Text("error")
	var object member.Fields
	if code == "" && json.Unmarshal(fields["error"], &object) == nil {
		if code = object.Text("reason"); code == "" {
			code = object.Text("code")
		}
	}
	code, _, _ = strings.Cut(code, ":")
	code = strings.TrimSpace(code)
	if PlausibleCode(code) || isDecisive(CodeWord(code)) || IsListed(endCodes, code) {
		return code
	}
	return ""
}

// IsListed reports whether a list has a code, in whatever spelling.
func IsListed(list []string, code string) bool {
	return code != "" && slices.ContainsFunc(list, func(c string) bool { return c == code || CodeWord(c) == CodeWord(code) })
}
