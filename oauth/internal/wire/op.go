package wire

// Operations whose answers are judged in a way of their own.
const (
	OpRefresh = "refresh"
	OpDevice  = "device"
)

// Error codes that are about a DPoP proof alone: it is invalid (RFC 9449 section 5),
// or lacks the server's nonce (sections 8 and 9).
const (
	CodeDPoPProof = "invalid_dpop_proof"
	CodeDPoPNonce = "use_dpop_nonce"
)
