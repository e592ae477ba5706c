package refresh

// Renewal says when a session is renewed.
type Renewal string

const (
	// RenewAlways keeps a session alive by the clock, whether or not somebody asks
	// for its token. The default.
	RenewAlways Renewal = "always"
	// RenewOnUse renews a session that is due only if its token was asked for lately,
	// or when it is. Sessions that nobody uses cost the server nothing, and end as
	// the server ends idle ones.
	RenewOnUse Renewal = "on_use"
	// RenewNever pauses: tokens are served while they live, and after that a caller
	// gets ErrPaused. Pairs that other processes save are adopted.
	RenewNever Renewal = "never"
)

// onDemand reports whether only asking for a token leads to a renewal, if anything.
func (cfg *Config) onDemand() bool { return cfg.Renewal == RenewOnUse || cfg.Renewal == RenewNever }

// idle reports whether the session is not to be renewed before somebody asks for
// its token.
func (m *managed) idle() bool {
	switch m.cfg.Renewal {
	case RenewNever:
		return true
	case RenewOnUse:
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.warm == 0
	}
	return false
}
