package wire

// A NotPublic is the error of a connection that oauth.PublicOnly has refused. It matches
// ErrMisconfigured: another attempt leads to the same address.
type NotPublic struct {
	Address string // as the connection was about to be made, by IP address and port
	Kind    string // such as "private"
}

func (e *NotPublic) Error() string {
	return "the address " + e.Address + " is not public (" + e.Kind + "), and this program connects to public ones alone"
}

// Unwrap makes it match ErrMisconfigured.
func (e *NotPublic) Unwrap() error { return ErrMisconfigured }

const hintNotPublic = "if the server is meant to be inside of this network, connect to it without oauth.PublicOnly; otherwise see where its name leads"
