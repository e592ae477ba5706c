package wire

import "errors"

// A Verdict is an oauth.Verdict, which documents them.
type Verdict uint8

// The verdicts.
const (
	VerdictTrouble Verdict = iota
	VerdictUnknown
	VerdictEnded
	VerdictClient
	VerdictUnclear
	VerdictUnread
	VerdictSettings
)

// Verdict returns what f says about the session. It goes by f's fields alone, so
// that it also serves for errors that another Refresher makes.
func (f *Failure) Verdict() Verdict {
	m := MeaningOf(f.Op, f.Code)
	switch {
	case f.Kind == ErrLoginRequired:
		return VerdictEnded
	case errors.Is(f.Err, ErrUnreadAnswer):
		return VerdictUnread
	case f.Kind == ErrMisconfigured && (m.Verdict == VerdictClient || saysClient(f.Err)):
		return VerdictClient
	case f.Kind == ErrMisconfigured && (f.Status < 400 || !f.Sent || m.Verdict == VerdictSettings):
		return VerdictSettings
	case !f.Sent, errors.Is(f.Err, ErrTrouble), m.Kind == ErrTransient:
		return VerdictTrouble
	case f.Status == 0:
		return VerdictUnknown
	}
	return f.answered()
}

// answered is Verdict for an answer that neither words nor kind have decided.
func (f *Failure) answered() Verdict {
	switch {
	case IsSuccess(f.Status) && f.Code == "" && !errors.Is(f.Err, ErrNoToken):
		return VerdictUnknown
	case f.Page:
		return VerdictTrouble
	case IsSuccess(f.Status), IsRefusal(f.Status):
		return VerdictUnclear
	}
	return VerdictTrouble
}

func saysClient(err error) bool {
	return errors.Is(err, ErrClientRefused) || errors.Is(err, ErrClientSecretExpired)
}
