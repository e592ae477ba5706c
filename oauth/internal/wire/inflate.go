package wire

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
)

// inflate undoes what net/http does not if it has not asked for it: a transport with
// DisableCompression, or a request with an Accept-Encoding that a proxy adds. What is
// compressed with gzip is known by its first bytes, whatever the header says. Of an
// answer that is cut it gives what there is.
func (a *Answer) inflate() {
	r := inflater(a.Body, a.Header)
	if r == nil {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	a.Body, a.Whole = body, a.Whole && err == nil && len(body) <= maxBody
}

// inflater returns a reader of what body is when it is inflated, or nil if it is not
// compressed in a way that is known here.
func inflater(body []byte, header http.Header) io.Reader {
	if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		if r, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			return r
		}
	}
	if !strings.EqualFold(strings.TrimSpace(header.Get("Content-Encoding")), "deflate") {
		return nil
	}
	// RFC 9110 section 8.4.1.2 means zlib; some servers send what is inside of it alone.
	if r, err := zlib.NewReader(bytes.NewReader(body)); err == nil {
		return r
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return nil // the header is wrong
	}
	return flate.NewReader(bytes.NewReader(body))
}
