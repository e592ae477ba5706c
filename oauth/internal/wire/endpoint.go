package wire

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/internal/thishost"
)

// CheckEndpoint returns an error unless secrets may be sent to rawURL: https, or
// http to a loopback address (RFC 6749 section 3.2, RFC 8252 section 8.3).
func CheckEndpoint(name, rawURL string) error {
	if rawURL == "" {
		return fmt.Errorf("%s is empty", name)
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%s is not an absolute URL", name)
	}
	if u.Fragment != "" || u.User != nil {
		return fmt.Errorf("%s must have neither fragment nor user information", name)
	}
	if u.Scheme == "https" || (u.Scheme == "http" && thishost.Is(u.Hostname())) {
		return nil
	}
	return fmt.Errorf("%s must be https (plain http only to a loopback address)", name)
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

// CheckField is CheckEndpoint for a field of oauth.Config.
func CheckField(field, rawURL string) error {
	if err := CheckEndpoint("Config."+field, rawURL); err != nil {
		return &FieldError{field, err}
	}
	return nil
}
