package tokenstore_test

import (
	"context"
	"errors"

	"github.com/evertoken/evertoken/tokenstore"
)

func fullDisk(context.Context, *tokenstore.File) error {
	return errors.New("no test asks for this on Windows")
}
