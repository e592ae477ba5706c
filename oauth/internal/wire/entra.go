package wire

import (
	"encoding/json"
	"slices"

	"github.com/evertoken/evertoken/internal/member"
)

// hasNumber reports whether an answer of Microsoft's servers has one of the AADSTS
// numbers.
func hasNumber(fields member.Fields, list []int) bool {
	var numbers []int
	if raw, found := fields["error_codes"]; found && json.Unmarshal(raw, &numbers) != nil {
		return false
	}
	return slices.ContainsFunc(numbers, func(n int) bool { return slices.Contains(list, n) })
}

// entraClientErrors are the AADSTS numbers about a client: not found in the tenant,
// wrong, expired or missing secret, wrong assertion, turned off. Source:
// learn.microsoft.com/entra/identity-platform/reference-error-codes.
var entraClientErrors = []int{700016, 7000215, 7000222, 7000218, 700024, 700027, 7000112, 7000114}

// entraTrouble are the AADSTS numbers about a bad moment: a service behind does not
// answer, or the client asks too often, which is said as invalid_grant.
var entraTrouble = []int{50196, 90006, 90012, 90024, 90033, 90036, 90055}
