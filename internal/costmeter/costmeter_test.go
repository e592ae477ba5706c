package costmeter

import "testing"

func TestWhatIsAllocatedIsCounted(t *testing.T) {
	var keep []byte
	if got := Allocated(func() { keep = make([]byte, 1<<20) }); got < 1<<20 || got > 2<<20 {
		t.Errorf("a mebibyte costs %d bytes", got)
	}
	_ = keep
}
