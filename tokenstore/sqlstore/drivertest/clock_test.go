package drivertest

import (
	"testing"

	"github.com/evertoken/evertoken/internal/teststore"
	"github.com/evertoken/evertoken/tokenstore"
)

func TestHostsCountByTheDatabasesClock(t *testing.T) {
	onEach(t, func(t *testing.T, p place) {
		teststore.CountByOneClock(t, func() tokenstore.Store { return p.store(t) })
	})
}
