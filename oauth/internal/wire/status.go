package wire

import "net/http"

// IsSuccess reports whether a status is 2xx.
func IsSuccess(status int) bool { return status >= 200 && status <= 299 }

// IsRefusal reports whether a status says that the server looked at the request
// and did not want it. 408, 425 and 429 speak of the moment, not of the request.
func IsRefusal(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status <= 499
}
