package redisstore

import (
	"time"

	"github.com/evertoken/evertoken/tokenstore"
)

// graceTime is how long Redis keeps a session that nothing can renew any more, and
// the trace of one that was deleted. By then no verdict can still turn out to be
// wrong, and no process comes back from sleep with an old version.
const graceTime = 30 * 24 * time.Hour

// farAway is a time beyond which no end is believed. Redis could not hold it either.
const farAway = 100 * 365 * 24 * time.Hour

// keepFor returns how long Redis is to keep a record from now on. Zero means for
// ever: the record has no known end.
func keepFor(rec *tokenstore.Record, now time.Time) time.Duration {
	end, ever := rec.SpentAt()
	left := max(end.Sub(now), 0)
	if !ever || left > farAway {
		return 0
	}
	return left + graceTime
}
