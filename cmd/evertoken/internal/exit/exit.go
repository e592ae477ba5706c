// Package exit has the exit codes of the command, and errors that carry one.
package exit

// The exit codes, told in the documentation of the command. Scripts depend on
// them. A command that a signal interrupts before it is done ends with Signal plus
// the signal's number, as shells count: with Interrupted after Ctrl-C.
const (
	OK        = 0
	Failed    = 1
	Usage     = 2
	Login     = 3
	Temporary = 4
	Config    = 5

	Signal      = 128
	Interrupted = Signal + 2
)

// A Problem is an error with an exit code, what went wrong, and what the person
// can do about it.
type Problem struct {
	Code int
	What string
	Next string
}

// New returns a Problem.
func New(code int, what, next string) *Problem { return &Problem{Code: code, What: what, Next: next} }

func (p *Problem) Error() string { return p.What + ": " + p.Next }

// Misuse is a mistake on the command line.
func Misuse(err error) *Problem { return New(Usage, err.Error(), `see "evertoken help"`) }

// Silent ends the command with an exit code when all has been said already.
type Silent int

func (Silent) Error() string { return "failed" }
