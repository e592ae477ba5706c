package wire

import (
	"slices"
	"strings"

	"github.com/evertoken/evertoken/internal/member"
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

// namesTrouble reports whether a code, as CodeWord spells it, names trouble. That the
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

// tellsTrouble reports whether the answer names trouble of the server's own. With
// certain, its error code is one that ends sessions, and only what contradicts that
// outright counts.
func tellsTrouble(fields member.Fields, certain bool) bool {
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

func hasTroubleCode(object member.Fields) bool {
	return slices.ContainsFunc(codeMembers, func(name string) bool {
		text := object.Text(name)
		return len(text) <= maxPhrase && namesTrouble(CodeWord(lastSegment(text)))
	})
}

// lastSegment drops the name space that some put before a type, as in
// "com.example#ThrottlingException" and "https://example.com/errors/busy".
func lastSegment(text string) string {
	return text[strings.LastIndexAny(text, "#/")+1:]
}

// maxPhrase is how much of a text is looked at: a sentence.
const maxPhrase = 300

func hasTroublePhrase(object member.Fields) bool {
	return slices.ContainsFunc(messageMembers, func(name string) bool {
		return speaksOfTrouble(object.Text(name))
	})
}

// speaksOfTrouble reports whether a text for people names trouble.
func speaksOfTrouble(text string) bool {
	text = strings.ToLower(text[:min(len(text), maxPhrase)])
	return slices.ContainsFunc(troublePhrases, func(phrase string) bool {
		return strings.Contains(text, phrase) && !(isTimeout(phrase) && isOfSession(text))
	})
}

func hasTroubleStatus(object member.Fields, members []string) bool {
	return slices.ContainsFunc(members, func(name string) bool {
		n, ok := object.Seconds(name)
		return ok && n >= 400 && n <= 599 && !IsRefusal(int(n))
	})
}

func hasFlag(object member.Fields) bool {
	return slices.ContainsFunc(flagMembers, func(name string) bool { return string(object[name]) == "true" })
}
