package wire

import "net/http"

// requestClient returns the client that sends token requests: hc's transport and
// cookie jar, but no redirects (RFC 9110 section 15.4 lets a 307 carry the body,
// and so the refresh token, to another host).
func requestClient(hc *http.Client) *http.Client {
	if hc == nil {
		hc = &http.Client{Transport: DefaultTransport()}
	}
	c := *hc
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// DefaultTransport opens a connection for each request. Token requests are
// minutes apart, so that a kept connection would save nothing, but could turn
// out to be dead after the refresh token was written into it.
func DefaultTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	TellProxyErrors(t)
	return t
}
