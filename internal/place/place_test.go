package place_test

import (
	"testing"

	"github.com/evertoken/evertoken/internal/place"
)

func TestAPlaceIsADirectoryOfAMachine(t *testing.T) {
	here := place.Of("/home/a/sessions")
	if here != place.Of("/home/a/sessions") {
		t.Error("a directory has two names")
	}
	if here != "" && here == place.Of("/home/b/sessions") {
		t.Error("two directories have one name")
	}
}
