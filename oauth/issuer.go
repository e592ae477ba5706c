package oauth

import "strings"

// tenantMark stands for the tenant in Config.IssuerTemplate, as in Entra's metadata.
const tenantMark = "{tenantid}"

// sameIssuer compares issuers as strings, but for the exception that OpenID Connect
// Core section 15.6.2 makes: Google's is accounts.google.com with and without
// https://. Nothing else has that spelling.
func sameIssuer(a, b string) bool { return withScheme(a) == withScheme(b) }

func withScheme(issuer string) string {
	if strings.Contains(issuer, "://") {
		return issuer
	}
	return "https://" + issuer
}

// tenantOf returns what stands in issuer in the place of the template's mark, or ""
// if it is not of that pattern. It is one word of the path, so that it can lead to no
// other host.
func tenantOf(template, issuer string) string {
	before, after, marked := strings.Cut(template, tenantMark)
	rest, ours := strings.CutPrefix(issuer, before)
	tenant, fits := strings.CutSuffix(rest, after)
	if !marked || !ours || !fits || !isHeaderWord(tenant) {
		return ""
	}
	return tenant
}
