package wire

import (
	"errors"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/internal/thishost"
)

// CheckEndpoint returns an error unless secrets may be sent to rawURL: https, or
// http to a loopback address (RFC 6749 section 3.2, RFC 8252 section 8.3).
func CheckEndpoint(name, rawURL string) error {
	if problem := problemOf(rawURL); problem != "" {
		return errors.New(name + " " + problem)
	}
	return nil
}

// CheckField is CheckEndpoint for a field of a configuration.
func CheckField(field, rawURL string) error {
	if problem := problemOf(rawURL); problem != "" {
		return Wrong(field, "%s", problem)
	}
	return nil
}

// problemOf says what is wrong with an endpoint's address, or nothing.
func problemOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	switch {
	case rawURL == "":
		return "is empty"
	case err != nil || u.Host == "":
		return "is not an absolute URL"
	case u.Fragment != "" || u.User != nil:
		return "must have neither fragment nor user information"
	case u.Scheme == "https" || u.Scheme == "http" && thishost.Is(u.Hostname()):
		return ""
	}
	return "must be https (plain http only to a loopback address)"
}

// WithoutQuery returns an address as far as it may be shown.
func WithoutQuery(rawURL string) string {
	rawURL, _, _ = strings.Cut(rawURL, "?")
	return rawURL
}

// Presence says whether a secret is there, and nothing else about it.
func Presence(secret string) string {
	if secret == "" {
		return "none"
	}
	return "[redacted]"
}

// Origin returns the origin of an address, or "" if it has none.
func Origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}
