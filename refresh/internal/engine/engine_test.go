package engine

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

func TestTheIndexFindsWhatAMapWould(t *testing.T) {
	var x index
	want := make(map[string]*Member)
	for range 20_000 {
		name := strconv.Itoa(rand.IntN(300))
		switch m := want[name]; rand.IntN(3) {
		case 0:
			if got := x.remove(name); got != m {
				t.Fatalf("removed %p; want %p", got, m)
			}
			delete(want, name)
		case 1:
			m = &Member{name: name}
			x.put(m)
			want[name] = m
		default:
			if got := x.find(name); got != m {
				t.Fatalf("found %p; want %p", got, m)
			}
		}
		if x.size != len(want) {
			t.Fatalf("%d members; want %d", x.size, len(want))
		}
	}
	for _, m := range x.all() {
		if want[m.name] != m {
			t.Errorf("%q is among all", m.name)
		}
		delete(want, m.name)
	}
	if len(want) > 0 {
		t.Errorf("not among all: %v", want)
	}
	if x.find("") != nil {
		t.Error("a member without a name was found")
	}
	if n := len(*x.slots.Load()); n > 4*2*300 {
		t.Errorf("%d slots for 300 members at most", n)
	}
}

// What was put before is found at every moment while others come, go, and need room.
func TestTheIndexIsReadWhileItGrows(t *testing.T) {
	var x index
	stays := &Member{name: "stays"}
	x.put(stays)
	var over atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !over.Load() {
				if x.find("stays") != stays || x.find("never") != nil {
					t.Error("a member was missed, or found that was never there")
					return
				}
			}
		})
	}
	for i := range 5_000 {
		x.put(&Member{name: strconv.Itoa(i)})
		if i%3 == 0 {
			x.remove(strconv.Itoa(i / 2))
		}
	}
	over.Store(true)
	readers.Wait()
}
