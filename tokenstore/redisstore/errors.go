package redisstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/evertoken/evertoken/internal/storeerr"
	"github.com/evertoken/evertoken/tokenstore"
)

var errNoRecord = storeerr.ErrNoRecord

// errLost means that a session has gone without having been deleted.
var errLost = fmt.Errorf("%w: Redis has lost it", tokenstore.ErrDamaged)

// failed adds what was being done to err. A nil err stays nil.
func failed(action string, err error) error { return storeerr.Failed("redisstore", action, err) }

// about names the session in an action.
func about(action, name string) string { return storeerr.About(action, name) }

// check refuses names that cannot be used, and calls whose context has ended.
func check(ctx context.Context, action, name string) error {
	return storeerr.Check(ctx, "redisstore", action, name)
}

// judgeError turns an error of go-redis into one of ours. All that is not an answer
// of the server means that it could not be asked.
func judgeError(err error) error {
	var reply redis.Error
	switch {
	case err == nil, err == redis.Nil:
		return err
	case !errors.As(err, &reply):
		return fmt.Errorf("%w: %w", tokenstore.ErrUnavailable, err)
	}
	code := replyCode(reply.Error())
	if code == wrongType {
		return fmt.Errorf("%w: a key is of another type", tokenstore.ErrDamaged)
	}
	if notNow[code] || redis.IsMaxClientsError(err) {
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

// inScript is what Redis 6.2 puts before the error of a command that a script calls.
// "@user_script" and its line come a second time, with a hyphen behind, if Redis has
// not carried the command out.
var inScript = regexp.MustCompile(`^ERR Error running script \(call to f_[0-9a-f]+\): @user_script:\d+: (@user_script: \d+: )?-?`)

// wrongType is the answer to a command whose key another program has replaced by one that
// holds something else. Scripts look at the type first.
const wrongType = "WRONGTYPE"

// replyCode returns the word that an error reply begins with. The rest of it is not
// passed on: of a command that it does not know, Redis quotes the arguments.
func replyCode(reply string) string {
	code, _, _ := strings.Cut(reply[len(inScript.FindString(reply)):], " ")
	for _, c := range code {
		if c < 'A' || c > 'Z' {
			return "ERR"
		}
	}
	return code
}
