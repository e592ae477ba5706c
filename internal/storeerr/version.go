package storeerr

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/evertoken/evertoken/tokenstore"
)

// MaxVersion is the greatest version of a record that counts as one that we wrote. Above it
// there is room for a million more changes below 2^53, from where on not every place keeps
// numbers exactly.
const MaxVersion = 1<<53 - 1<<40

// ErrVersion means that we write no such version of a record. Another program has written
// it; what lies beside it is not believed.
var ErrVersion = errors.New("its version is not one that this program writes")

// ParseVersion reads the version of a record that a server keeps as text. It takes what we
// write, and nothing else that might mean the same number, since servers compare the text.
func ParseVersion(text string) (uint64, error) {
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil || version == 0 || version > MaxVersion || strconv.FormatUint(version, 10) != text {
		return 0, fmt.Errorf("%w: %w", tokenstore.ErrDamaged, ErrVersion)
	}
	return version, nil
}
