package costmeter

import (
	"runtime"
	"strings"
	"testing"
)

func TestWhatIsAllocatedIsCounted(t *testing.T) {
	var keep []byte
	if got := Allocated(func() { keep = make([]byte, 1<<20) }); got < 1<<20 || got > 2<<20 {
		t.Errorf("a mebibyte costs %d bytes", got)
	}
	_ = keep
}

// A failures is a test that only counts what is reported to it.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.n++ }

// What goes through the same text again for each of its bytes allocates nothing, and is noticed.
func TestWorkThatGrowsFasterThanItsInputIsNoticed(t *testing.T) {
	for name, tt := range map[string]struct {
		parse func(text string)
		want  int
	}{
		"little": {func(text string) { _ = strings.Count(text, "b") }, 0},
		"much, in proportion": {func(text string) {
			for range 500_000 { // as many for a short text
				_ = strings.Count(text[:len(text)/64], "b")
			}
		}, 0},
		"again for each byte": {func(text string) {
			for i := range text {
				_ = strings.Count(text[i:], "b")
			}
		}, 1},
	} {
		var f failures
		CheckWork(&f, name, 256<<10, func(size int) func() {
			text := strings.Repeat("a", size)
			return func() { tt.parse(text) }
		})
		if runtime.GOOS == "linux" && f.n != tt.want {
			t.Errorf("%s: %d failures; want %d", name, f.n, tt.want)
		}
	}
}
