package oauth

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"testing"
)

func TestSignatureNumbersArePadded(t *testing.T) {
	der, err := asn1.Marshal(struct{ R, S *big.Int }{big.NewInt(1), big.NewInt(0x0203)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := joseSignature(der, 4)
	if err != nil || fmt.Sprintf("%x", got) != "0000000100000203" {
		t.Errorf("got %x, %v", got, err)
	}
	if _, err := joseSignature(der, 1); !errors.Is(err, errSignature) {
		t.Errorf("a number that does not fit: %v", err)
	}
}

func FuzzJoseSignature(f *testing.F) {
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}, 32)
	f.Add([]byte{0x30, 6, 2, 1, 0xff, 2, 1, 1}, 32)
	f.Add([]byte{0x30, 7, 2, 2, 1, 0, 2, 1, 1}, 1)
	f.Add([]byte{}, 66)
	f.Fuzz(func(t *testing.T, der []byte, size int) {
		size = max(1, min(size, 66)) // that of a curve
		got, err := joseSignature(der, size)
		if (got == nil) == (err == nil) || err == nil && len(got) != 2*size {
			t.Fatalf("%d bytes and %v for size %d; want exactly one, of twice the size", len(got), err, size)
		}
		if err != nil {
			return
		}
		var want struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &want); err != nil || new(big.Int).SetBytes(got[:size]).Cmp(want.R) != 0 || new(big.Int).SetBytes(got[size:]).Cmp(want.S) != 0 {
			t.Errorf("%x became %x (%v)", der, got, err)
		}
	})
}
