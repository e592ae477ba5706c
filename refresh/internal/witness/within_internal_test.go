package witness

import (
	"testing"
	"testing/synctest"
	"time"
)

// A function that does not return stands for a file system that hangs.
func TestADirectoryThatHangsIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, free := Open("dir", "other"), make(chan struct{})
		takes := func(dir string, f func() int, want int, wanted bool, limit time.Duration) {
			t.Helper()
			begun := time.Now()
			if got, ok := within(b, dir, f); got != want || ok != wanted {
				t.Errorf("got %d, %t; want %d, %t", got, ok, want, wanted)
			}
			if took := time.Since(begun); took != limit {
				t.Errorf("took %v; want %v", took, limit)
			}
		}
		one := func() int { return 1 }
		hangs := func() int { <-free; return 2 }
		takes("dir", one, 1, true, 0)
		takes("dir", hangs, 0, false, patience)
		takes("dir", one, 0, false, 0)
		takes("other", one, 1, true, 0)
		close(free)
		synctest.Wait()
		takes("dir", one, 1, true, 0)
	})
}
