package refresh

import (
	"context"
	"errors"
	"fmt"

	"github.com/evertoken/evertoken/refresh/internal/failure"
	"github.com/evertoken/evertoken/tokenstore"
)

// unspent ends the attempt of a process that is about to end and could not announce
// it: the pair it would get might be lost with the process.
func (m *managed) unspent(ctx context.Context, cause error) error {
	return m.storeFailed(ctx, fmt.Errorf("%w: %w", errUnspent, cause))
}

// storeFailed is failed for trouble with the Store. Where only a person can end
// that, callers in a process that is about to end do not wait for it.
func (m *managed) storeFailed(ctx context.Context, cause error) error {
	err := m.failed(ctx, failure.Transient(cause))
	place, ok := errors.AsType[*tokenstore.PlaceError](cause)
	if m.cfg.ShortLived && ok && !place.Passes {
		m.setHealth(func(h *health) { h.next, h.firm = later(h.next, h.failed.Add(slowly*m.cfg.CheckInterval)), true })
	}
	return err
}
