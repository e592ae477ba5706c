package curlline

// values has the long options that are passed on, and whether they take a value. Not among
// them is what prints the request (-v, --trace, --libcurl), leads it elsewhere (-L,
// --connect-to, -x), weakens TLS (-k), reads further options (-K) or authenticates otherwise (-u, -n).
var values = map[string]bool{
	// the request
	"request": true, "header": true, "user-agent": true, "referer": true, "cookie": true, "cookie-jar": true, "range": true, "continue-at": true,
	"data": true, "data-ascii": true, "data-binary": true, "data-raw": true, "data-urlencode": true, "json": true,
	"form": true, "form-string": true, "upload-file": true, "url-query": true, "time-cond": true, "etag-compare": true, "etag-save": true,
	"get": false, "head": false, "compressed": false, "path-as-is": false,

	// the answer
	"output": true, "output-dir": true, "dump-header": true, "write-out": true, "max-filesize": true,
	"include": false, "remote-name": false, "create-dirs": false, "fail": false, "fail-with-body": false, "no-buffer": false, "silent": false, "show-error": false, "raw": false, "remove-on-error": false,

	// the connection
	"max-time": true, "connect-timeout": true, "limit-rate": true, "speed-limit": true, "speed-time": true, "expect100-timeout": true, "keepalive-time": true,
	"retry": true, "retry-delay": true, "retry-max-time": true, "cacert": true, "capath": true, "cert": true, "key": true, "cert-type": true, "key-type": true, "interface": true, "tls-max": true,
	"retry-all-errors": false, "retry-connrefused": false, "ipv4": false, "ipv6": false, "http1.0": false, "http1.1": false, "http2": false, "http3": false, "tlsv1.2": false, "tlsv1.3": false, "no-keepalive": false,
}

// short are the short forms of them.
var short = map[byte]string{
	'X': "request", 'H': "header", 'A': "user-agent", 'e': "referer", 'b': "cookie", 'c': "cookie-jar", 'r': "range", 'C': "continue-at",
	'd': "data", 'F': "form", 'T': "upload-file", 'z': "time-cond", 'G': "get", 'I': "head",
	'o': "output", 'D': "dump-header", 'w': "write-out", 'i': "include", 'O': "remote-name", 'f': "fail", 'N': "no-buffer", 's': "silent", 'S': "show-error",
	'm': "max-time", 'Y': "speed-limit", 'y': "speed-time", 'E': "cert", '4': "ipv4", '6': "ipv6", '0': "http1.0",
}

// bodies are the options whose values may span lines: what is sent behind the headers, or
// encoded.
var bodies = map[string]bool{
	"data": true, "data-ascii": true, "data-binary": true, "data-raw": true, "data-urlencode": true, "json": true,
	"form": true, "form-string": true, "url-query": true,
}

const (
	prints    = "it prints the token"
	follows   = "it follows redirects with the token; \"evertoken get\" follows them without, or give the address that the API names"
	elsewhere = "it sends the token another way than to the URL; a proxy can be named by HTTPS_PROXY"
	another   = "it is for another URL; run evertoken once for each"
)

// reasons say why an option is refused, where that is more than not being known.
var reasons = map[string]string{
	"v": prints, "verbose": prints, "trace": prints, "trace-ascii": prints, "trace-config": prints, "trace-ids": prints, "trace-time": prints, "libcurl": prints,
	"L": follows, "location": follows, "location-trusted": follows, "follow": follows,
	"x": elsewhere, "proxy": elsewhere, "preproxy": elsewhere, "socks4": elsewhere, "socks4a": elsewhere, "socks5": elsewhere, "socks5-hostname": elsewhere,
	"connect-to": elsewhere, "resolve": elsewhere, "unix-socket": elsewhere, "abstract-unix-socket": elsewhere,
	"next": another, ":": another, "url": another,
	"k": "anybody on the way could read the token", "insecure": "anybody on the way could read the token",
	"K": "it may hold options that print the token", "config": "it may hold options that print the token",
	"u": "the token is how to log in", "user": "the token is how to log in", "n": "the token is how to log in", "netrc": "the token is how to log in", "oauth2-bearer": "the token is how to log in",
}
