package metadata

import (
	"net/url"
	"strings"

	"github.com/evertoken/evertoken/oauth/internal/wire"
)

// tenantMark stands for the tenant in Config.IssuerTemplate, as in Entra's metadata.
const tenantMark = "{tenantid}"

// IsPattern reports whether an issuer stands for those of many tenants.
func IsPattern(issuer string) bool { return strings.Contains(issuer, tenantMark) }

// SameIssuer compares issuers as strings, but for the exception that OpenID Connect
// Core section 15.6.2 makes: Google's is accounts.google.com with and without
// https://. Nothing else has that spelling.
func SameIssuer(a, b string) bool { return WithScheme(a) == WithScheme(b) }

func WithScheme(issuer string) string {
	if strings.Contains(issuer, "://") {
		return issuer
	}
	return "https://" + issuer
}

// TenantOf returns what stands in issuer in the place of the template's mark, or ""
// if it is not of that pattern. It is one word of the path, so that it can lead to no
// other host.
func TenantOf(template, issuer string) string {
	before, after, marked := strings.Cut(template, tenantMark)
	rest, ours := strings.CutPrefix(issuer, before)
	tenant, fits := strings.CutSuffix(rest, after)
	if !marked || !ours || !fits || !wire.IsHeaderWord(tenant) {
		return ""
	}
	return tenant
}

// Where servers publish metadata, before or behind the path of their issuer.
const (
	wellKnownOAuth  = "/.well-known/oauth-authorization-server"
	wellKnownOpenID = "/.well-known/openid-configuration"
)

// IssuerOf is oauth.IssuerOf, which documents it.
func IssuerOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return address
	}
	for _, name := range []string{wellKnownOAuth, wellKnownOpenID} {
		before, after, found := strings.Cut(u.EscapedPath(), name)
		before, path := strings.Trim(before, "/"), strings.Trim(after, "/")
		switch {
		case !found, before != "" && path != "", after != "" && after[0] != '/':
		case before+path == "":
			return u.Scheme + "://" + u.Host
		default:
			return u.Scheme + "://" + u.Host + "/" + before + path
		}
	}
	return address
}
