package oauthtest

// Quirks are what servers do that people use, and that no specification asks for
// or foresees. Each was seen on at least one of them. The zero value has none.
//
// Answers that are merely odd need no quirk: a [Fault] with Times -1 changes
// expires_in, token_type or any other field of each answer, the metadata's as
// well, puts a web page in place of a document, or adds a header.
type Quirks struct {
	// DeadRefresh replaces the refusal of a dead refresh token, which is 400
	// invalid_grant. See Catalogue.RefreshRefusals.
	DeadRefresh Refusal
	// DeadAccess replaces the resource's refusal of a dead access token, which is
	// 401 with a challenge. See Catalogue.AccessRefusals.
	DeadAccess Refusal
	// UnknownClient replaces the refusal of a client that the server does not know,
	// which is 401 invalid_client.
	UnknownClient Refusal

	// GraceRepeats changes Config.Grace: a replay gets the first answer once more,
	// with the same access token and in expires_in what is left of its life, which
	// is negative once it is over.
	GraceRepeats bool
	// GraceUntilUse accepts a spent refresh token until an access token that it gave
	// is used at the resource, or its successor is spent, and not for Config.Grace.
	GraceUntilUse bool
	// ReuseEndsOneSession makes reuse of a refresh token end its session, and leave
	// the user's others alone.
	ReuseEndsOneSession bool
	// RevokedIsReused treats a refresh token that its client has revoked like one
	// that was spent: using it again ends the user's sessions.
	RevokedIsReused bool
	// FailureSpends makes a refused request spend the refresh token in it, whatever
	// it was refused for: a wrong secret, another client, or a scope.
	FailureSpends bool
	// AccessRevocationEndsSession makes the revocation of an access token end the
	// whole session (RFC 7009 section 2.1 leaves that to the server).
	AccessRevocationEndsSession bool
	// UnknownRevocationFails answers 400 invalid_token to the revocation of a token
	// that is unknown or dead, against RFC 7009 section 2.2.
	UnknownRevocationFails bool

	// SameSecondSameAccess gives a session the same access token, byte for byte,
	// however often it asks within a second.
	SameSecondSameAccess bool
	// RefreshTokenLength pads opaque refresh tokens to this many characters.
	RefreshTokenLength int
	// ExactScheme makes the resource refuse the scheme Bearer in other letters.
	ExactScheme bool

	// RawBasic reads client ID and secret in Basic credentials as they are, not
	// form-encoded as RFC 6749 section 2.3.1 has it.
	RawBasic bool
	// RefusesVerifier answers 401 invalid_client to a code_verifier from clients that
	// authenticate. Their logins need no PKCE, and a code_challenge is passed over.
	RefusesVerifier bool

	// ErrorsWithoutState leaves state out when the browser is sent back with an
	// error.
	ErrorsWithoutState bool
	// DeniedOnPage shows a person who says no a page with HTTP status 400, and sends
	// the browser nowhere.
	DeniedOnPage bool
	// OfflineNeedsConsent passes over the scope offline_access in authorization
	// requests without prompt=consent (OpenID Connect Core section 11). Together with
	// Config.OfflineScope these then bring no refresh token.
	OfflineNeedsConsent bool

	// DevicePending replaces the answer to polls before the person has decided,
	// which is 400 authorization_pending, for one under another status.
	DevicePending int
	// DeviceCodeTwiceEndsSession makes a device code that is redeemed again end the
	// session it has given.
	DeviceCodeTwiceEndsSession bool
}
