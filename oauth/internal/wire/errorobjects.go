package wire

import (
	"encoding/json"

	"github.com/evertoken/evertoken/internal/member"
)

// Where answers have their codes, their words for people, a status of their own, and
// flags.
var (
	codeMembers    = []string{"error", "code", "error_code", "errorCode", "errorcode", "reason", "type", "__type", "errorType", "title", "name", "status"}
	messageMembers = []string{"message", "error_description", "error_message", "errorMessage", "error_summary", "errorSummary",
		"description", "detail", "msg", "errmsg", "faultstring"}
	statusMembers = []string{"status", "statusCode", "status_code", "httpStatus", "http_status"}
	numberMembers = []string{"code", "error_code"} // a status, or a number of the server's own
	flagMembers   = []string{"is_transient", "isTransient", "transient", "retryable", "temporary", "throttled"}
	waitMembers   = []string{"retry_after", "retryAfter", "retry_after_seconds"}
)

// errorMembers are where an answer tells more of an error: an object, or a list of
// them.
var errorMembers = []string{"error", "errors", "fault", "detail"}

// errorObjects returns the objects in which an answer tells of an error: itself, and
// what it holds as errorMembers, and those in turn. Of a list the first one counts.
func errorObjects(fields member.Fields) []member.Fields {
	if fields == nil {
		return nil
	}
	objects := []member.Fields{fields}
	for _, inner := range errorsIn(fields) {
		objects = append(append(objects, inner), errorsIn(inner)...)
	}
	return objects
}

// errorsIn returns the objects that an object holds as errorMembers.
func errorsIn(fields member.Fields) (objects []member.Fields) {
	for _, name := range errorMembers {
		raw := fields[name]
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
			raw = list[0]
		}
		var object member.Fields
		if json.Unmarshal(raw, &object) == nil && object != nil {
			objects = append(objects, object)
		}
	}
	return objects
}
