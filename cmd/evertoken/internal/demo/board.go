package demo

import (
	"sync"
	"time"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/explain"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/text"
	"github.com/evertoken/evertoken/refresh"
)

// A board collects what happens in a demo, from all its goroutines.
type board struct {
	start time.Time

	mu               sync.Mutex // guards what follows
	served, rejected int
	slowest          time.Duration
	renewals         int
	faults           []string // in the order in which they came
	survived         int
	fault            string // under way
	log              []logLine

	counted   int // requests until countedAt, for the rate
	countedAt time.Time
	rate      float64
}

func newBoard() *board {
	now := time.Now()
	return &board{start: now, countedAt: now}
}

// request counts a worker's request that took so long; err is nil if it was
// served.
func (b *board) request(took time.Duration, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slowest = max(b.slowest, took)
	if err == nil {
		b.served++
		return
	}
	b.rejected++
	b.noteLocked(alarming, "REJECTED: "+err.Error())
}

// event notes what the manager did.
func (b *board) event(e refresh.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e.Kind {
	case refresh.EventStarted:
		b.noteLocked(plain, "logged in: the token lives "+text.Brief(e.ExpiresAt.Sub(e.Time)))
	case refresh.EventRefreshed:
		b.renewals++
		b.noteLocked(good, "renewed: the token lives "+text.Brief(e.ExpiresAt.Sub(e.Time)))
	case refresh.EventRefreshFailed:
		b.noteLocked(plain, "not renewed: "+explain.Short(e.Err)+explain.Next(e))
	case refresh.EventSaveFailed:
		b.noteLocked(plain, "renewed, but not saved: "+explain.Short(e.Err)+explain.Next(e))
	case refresh.EventSaved:
		b.noteLocked(good, "saved")
	case refresh.EventLoginRequired, refresh.EventSuspected, refresh.EventMisconfigured:
		b.noteLocked(alarming, "SESSION LOST: "+explain.Short(e.Err))
	}
}

func (b *board) faultBegins(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = name
	b.faults = append(b.faults, name)
	b.noteLocked(bad, "fault: "+name)
}

func (b *board) faultSurvived(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = ""
	b.survived++
	b.noteLocked(good, "survived: "+name)
}

func (b *board) noteLocked(m mood, text string) {
	b.log = append(b.log, logLine{at: time.Since(b.start), mood: m, text: text})
}

// view fills in what the board knows.
func (b *board) view(now time.Time) view {
	b.mu.Lock()
	defer b.mu.Unlock()
	if since := now.Sub(b.countedAt); since >= time.Second {
		b.rate = float64(b.served+b.rejected-b.counted) / since.Seconds()
		b.counted, b.countedAt = b.served+b.rejected, now
	}
	return view{
		elapsed:  now.Sub(b.start),
		served:   b.served,
		rejected: b.rejected,
		rate:     b.rate,
		renewals: b.renewals,
		survived: b.survived,
		fault:    b.fault,
		log:      b.log, // only ever appended to
	}
}
