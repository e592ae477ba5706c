package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/tokenstore"
)

var errNoRecord = errors.New("no record was given")

// errLost means that a session has gone and nobody has deleted it.
var errLost = fmt.Errorf("%w: Redis has lost it", tokenstore.ErrDamaged)

// An opError says what was being done when err happened.
type opError struct {
	action string
	err    error
}

// failed adds what was being done to err. A nil err stays nil.
func failed(action string, err error) error {
	if err == nil {
		return nil
	}
	return &opError{action, err}
}

// Error names the package once, although the sentinels name theirs.
func (e *opError) Error() string {
	return "redis: " + e.action + ": " + strings.TrimPrefix(e.err.Error(), "tokenstore: ")
}

func (e *opError) Unwrap() error { return e.err }

// about names the session in an action.
func about(action, name string) string { return action + " session " + strconv.Quote(name) }

// check refuses names that cannot be used, and calls whose context has ended.
func check(ctx context.Context, action, name string) error {
	if err := tokenstore.CheckName(name); err != nil {
		return err
	}
	return failed(about(action, name), ctx.Err())
}

// judgeError turns an error of go-redis into one of ours. All that is not an answer
// of the server means that it could not be asked.
func judgeError(err error) error {
	var reply goredis.Error
	switch {
	case err == nil, err == goredis.Nil:
		return err
	case !errors.As(err, &reply):
		return fmt.Errorf("%w: %w", tokenstore.ErrUnavailable, err)
	}
	code := replyCode(reply.Error())
	if notNow[code] || goredis.IsMaxClientsError(err) {
		return fmt.Errorf("%w: the server answers %s", tokenstore.ErrUnavailable, code)
	}
	return fmt.Errorf("the server answers %s", code)
}

// notNow are the answers of a server that cannot serve at the moment: it is
// starting, full, not the master, or has lost the others.
var notNow = map[string]bool{
	"ASK": true, "BUSY": true, "CLUSTERDOWN": true, "LOADING": true, "MASTERDOWN": true, "MISCONF": true, "MOVED": true,
	"NOREPLICAS": true, "OOM": true, "READONLY": true, "TRYAGAIN": true, "UNBLOCKED": true,
}

// replyCode returns the word that an error reply begins with. The rest of it is not
// passed on: of a command that it does not know, Redis quotes the arguments.
func replyCode(reply string) string {
	code, _, _ := strings.Cut(reply, " ")
	for _, c := range code {
		if c < 'A' || c > 'Z' {
			return "ERR"
		}
	}
	return code
}
