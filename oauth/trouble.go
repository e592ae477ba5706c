package oauth

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Servers, and what stands in front of them, name their own trouble under any
// status: throttling as 400, an outage in the body of a 200. Whatever looks like
// that is taken for it, since the mistake costs little: a request is sent again
// later. Nothing here ever ends a session.

// troubleNames are codes, or parts of codes, that name trouble, throttling or
// retrying: each is a run of words of a code.
var troubleNames = []string{
	"temporarily_unavailable", "unavailable", "server_error", "internal_error", "internal_failure", "internal_server",
	"backend_error", "backend_failure", "service_error", "system_error", "database_error", "fatal_error", "unexpected_error",
	"bad_gateway", "gateway_error", "upstream",
	"rate_limit", "rate_limited", "ratelimit", "ratelimited", "rate_exceeded", "too_many", "limit_exceeded", "limit_reached", "throughput_exceeded", "quota",
	"throttled", "throttling", "throttle", "slow_down", "resource_exhausted", "exhausted",
	"overloaded", "overload", "busy", "timeout", "timed_out", "deadline_exceeded", "maintenance",
	"transient", "temporary", "temporarily", "retry", "retryable", "try_again", "try_later",
}

// namesTrouble reports whether a code, as codeWord spells it, names trouble. That the
// time of a session or a token is over is none.
func namesTrouble(word string) bool {
	padded := "_" + word + "_"
	return word != "" && slices.ContainsFunc(troubleNames, func(name string) bool {
		return strings.Contains(padded, "_"+name+"_") && !(isTimeout(name) && isOfSession(word))
	})
}

func isTimeout(name string) bool {
	return name == "timeout" || name == "timed_out" || name == "timed out"
}

// isOfSession reports whether a text speaks of what a person or a program has, and not
// of the server.
func isOfSession(text string) bool {
	return slices.ContainsFunc([]string{"session", "token", "login", "logon", "idle", "inactiv"}, func(word string) bool {
		return strings.Contains(text, word)
	})
}

// troublePhrases are what messages for people say of trouble. "Try again" alone is
// not among them: it is also said of a wrong password.
var troublePhrases = []string{
	"rate exceeded", "rate limit", "rate-limit", "ratelimit", "too many requests", "throttl", "slow down",
	"request limit", "quota", "try again later", "retry later", "retry your request", "please retry", "temporarily",
	"transient", "unavailable", "internal error", "internal server error", "system error", "server busy",
	"server is busy", "timed out", "timeout", "overloaded", "maintenance",
}

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

// tellsTrouble reports whether the answer names trouble of the server's own. With
// certain, its error code is one that ends sessions, and only what contradicts that
// outright counts.
func tellsTrouble(fields map[string]json.RawMessage, certain bool) bool {
	for _, object := range errorObjects(fields) {
		if hasFlag(object) || hasTroubleStatus(object, statusMembers) {
			return true
		}
		if !certain && (hasTroubleStatus(object, numberMembers) || hasTroubleCode(object) || hasTroublePhrase(object)) {
			return true
		}
	}
	return false
}

// errorMembers are where an answer tells more of an error: an object, or a list of
// them.
var errorMembers = []string{"error", "errors", "fault", "detail"}

// errorObjects returns the objects in which an answer tells of an error: itself, and
// what it holds as errorMembers, and those in turn. Of a list the first one counts.
func errorObjects(fields map[string]json.RawMessage) []map[string]json.RawMessage {
	if fields == nil {
		return nil
	}
	objects := []map[string]json.RawMessage{fields}
	for _, inner := range errorsIn(fields) {
		objects = append(append(objects, inner), errorsIn(inner)...)
	}
	return objects
}

// errorsIn returns the objects that an object holds as errorMembers.
func errorsIn(fields map[string]json.RawMessage) (objects []map[string]json.RawMessage) {
	for _, name := range errorMembers {
		raw := fields[name]
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
			raw = list[0]
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) == nil && object != nil {
			objects = append(objects, object)
		}
	}
	return objects
}

func hasTroubleCode(object map[string]json.RawMessage) bool {
	return slices.ContainsFunc(codeMembers, func(name string) bool {
		text := textField(object, name)
		return len(text) <= maxPhrase && namesTrouble(codeWord(lastSegment(text)))
	})
}

// lastSegment drops the name space that some put before a type, as in
// "com.example#ThrottlingException" and "https://example.com/errors/busy".
func lastSegment(text string) string {
	return text[strings.LastIndexAny(text, "#/")+1:]
}

// maxPhrase is how much of a text is looked at: a sentence.
const maxPhrase = 300

func hasTroublePhrase(object map[string]json.RawMessage) bool {
	return slices.ContainsFunc(messageMembers, func(name string) bool {
		return speaksOfTrouble(textField(object, name))
	})
}

// speaksOfTrouble reports whether a text for people names trouble.
func speaksOfTrouble(text string) bool {
	text = strings.ToLower(text[:min(len(text), maxPhrase)])
	return slices.ContainsFunc(troublePhrases, func(phrase string) bool {
		return strings.Contains(text, phrase) && !(isTimeout(phrase) && isOfSession(text))
	})
}

func hasTroubleStatus(object map[string]json.RawMessage, members []string) bool {
	return slices.ContainsFunc(members, func(name string) bool {
		n, ok := secondsField(object, name)
		return ok && n >= 400 && n <= 599 && !isRefusal(int(n))
	})
}

func hasFlag(object map[string]json.RawMessage) bool {
	return slices.ContainsFunc(flagMembers, func(name string) bool { return string(object[name]) == "true" })
}

// waitInBody returns how long an answer's own members ask to wait, zero if they do
// not.
func waitInBody(fields map[string]json.RawMessage) time.Duration {
	for _, object := range errorObjects(fields) {
		for _, name := range waitMembers {
			if n, ok := secondsField(object, name); ok && n >= 0 {
				return time.Duration(min(n+1, int64(maxRetryAfter/time.Second))) * time.Second // fractions were dropped
			}
		}
	}
	return 0
}
