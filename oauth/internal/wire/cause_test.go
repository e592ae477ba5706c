package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"
)

func TestOnlyAlertsAboutCertificatesNameTheCertificate(t *testing.T) {
	for code, want := range map[tls.AlertError]bool{40: false, 42: true, 43: true, 44: true, 45: true, 46: true, 47: false, 48: true, 49: true, 80: false, 116: true} {
		err := fmt.Errorf("wrapped: %w", &net.OpError{Op: "remote error", Err: code})
		if got := certificateRefused(err); (got != nil) != want {
			t.Errorf("alert %d: %v; want it named: %v", code, got, want)
		}
	}
	if certificateRefused(&net.OpError{Op: "local error", Err: tls.AlertError(42)}) != nil || certificateRefused(errors.New("x")) != nil ||
		certificateRefused(nil) != nil || certificateRefused(&net.OpError{Op: "remote error"}) != nil {
		t.Error("something else names the certificate")
	}
}
