package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/evertoken/evertoken/torture/internal/process"
)

// A torture is one run of the command.
type torture struct {
	size    size
	rand    *rand.Rand // only used while rows are set up, in order
	dir     string     // temporary, for everything
	workers process.Group

	mu   sync.Mutex // guards dirs
	dirs int

	toolOnce sync.Once // guards what follows
	tool     string    // the evertoken command
	toolErr  error
}

// size is how much of everything there is.
type size struct {
	crowd, expiries int // processes that share a session, and how often it expires
	kills           int // rounds of kill -9, with and without a grace window
	terms           int // rounds of SIGTERM
	full            int // expiries while the disk is full
	steps           int // of the clock
	stops           int // rounds of SIGSTOP
	few             int // processes in the rows that need some
	maxWait         time.Duration
	tokenLife       time.Duration // of the tokens that really expire
	plainExpiries   int           // as expiries and kills, for x/oauth2
	plainKills      int
	fileStep        int             // between two limits of open files
	restores        int             // rounds of old copies, moved directories, and others that are short
	pauses          []time.Duration // of the server
	outages         []time.Duration
	away            time.Duration   // short outages are repeated for so long
	lives           []time.Duration // of access tokens that outlive an outage
	inTime          int             // such outages, for each of lives
	aways           int             // commands that are run in each kind of outage

	// patience is how long callers and commands may be refused while a process is about to
	// write the newest pair.
	patience time.Duration
}

var (
	fullSize = size{
		crowd: 64, expiries: 50, kills: 1000, terms: 200, full: 4, steps: 40, stops: 8, few: 8,
		maxWait: 1500 * time.Millisecond, tokenLife: 3 * time.Second, plainExpiries: 10, plainKills: 200,
		fileStep: 1, restores: 24, pauses: []time.Duration{45 * time.Second, 75 * time.Second, 2 * time.Minute},
		outages: seconds(1, 2, 3, 5, 10, 20, 40, 60, 90, 120), away: 2 * time.Minute, aways: 5,
		lives: seconds(12, 15, 20, 30, 45, 60, 90), inTime: 3,
		patience: 5 * time.Second,
	}
	quickSize = size{
		crowd: 6, expiries: 4, kills: 18, terms: 8, full: 1, steps: 6, stops: 2, few: 4,
		maxWait: 300 * time.Millisecond, tokenLife: 3 * time.Second, plainExpiries: 2, plainKills: 6,
		fileStep: 2, restores: 4, pauses: seconds(33),
		outages: seconds(1, 3, 9, 24), away: 12 * time.Second, aways: 1,
		lives: seconds(12, 15), inTime: 2,
		patience: time.Minute, // other tests run meanwhile
	}
)

func seconds(list ...int) []time.Duration {
	var times []time.Duration
	for _, n := range list {
		times = append(times, time.Duration(n)*time.Second)
	}
	return times
}

func newTorture(seed uint64, quick bool, stderr *os.File) (*torture, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "evertoken-torture-")
	if err != nil {
		return nil, err
	}
	t := &torture{
		size: fullSize, rand: rand.New(rand.NewPCG(seed, seed)),
		dir: dir, workers: process.Group{Self: self, Stderr: stderr},
	}
	if quick {
		t.size = quickSize
	}
	return t, nil
}

// clear ends what still runs and removes what was written.
func (t *torture) clear() {
	t.workers.Kill()
	_ = os.RemoveAll(t.dir) // a temporary directory
}

// grace is how long the merciful server repeats an answer that was lost: the
// window that is common among servers that have one.
const grace = 30 * time.Second

// newRand returns a source of its own for something that runs beside others, so
// that what it draws depends on the seed only.
func (t *torture) newRand() *rand.Rand {
	return rand.New(rand.NewPCG(t.rand.Uint64(), t.rand.Uint64()))
}

// newDir creates a directory for one session.
func (t *torture) newDir() (string, error) {
	t.mu.Lock()
	t.dirs++
	dir := filepath.Join(t.dir, strconv.Itoa(t.dirs))
	t.mu.Unlock()
	return dir, os.Mkdir(dir, 0o700)
}
