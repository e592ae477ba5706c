package wire

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
)

// A sendTrace finds out whether a request that failed may have reached the
// server.
type sendTrace struct {
	dialing, writing atomic.Bool
	hooks            httptrace.ClientTrace
}

func (t *sendTrace) watch(ctx context.Context) context.Context {
	t.hooks = httptrace.ClientTrace{
		GetConn:          func(string) { t.dialing.Store(true) },
		WroteHeaderField: func(string, []string) { t.writing.Store(true) },
		WroteHeaders:     func() { t.writing.Store(true) },
	}
	return httptrace.WithClientTrace(ctx, &t.hooks)
}

// mayHaveSent is false only when it is certain that nothing was sent: the
// transport said that it was looking for a connection and never began to write,
// or the error is one of connecting. Transports that do not report (fakes,
// wrappers) leave the latter.
func (t *sendTrace) mayHaveSent(err error) bool {
	if t.dialing.Load() {
		return t.writing.Load()
	}
	return !IsConnectError(err)
}
