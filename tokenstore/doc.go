// Package tokenstore keeps OAuth sessions between runs of a program, and keeps
// processes that share a session from spending its refresh token twice.
//
// A command-line tool usually wants a [File]; a refresh.Manager does the rest:
//
//	store, err := tokenstore.NewFile(dir)
//	manager := refresh.NewManager(refresh.Config{OAuthClient: client, Store: store, Session: "default"})
//
// Tests, and programs whose sessions may end with them, use a [Memory]. A
// program that only wants to be told about new pairs needs no Store; [Func] is
// for those that have one and an interface that takes a callback.
//
// # What is stored
//
// A [Record] is a session's token pair and the evidence around it: that a spend
// has begun, that the server refused it, which refresh tokens came before. It
// is one JSON object in every store ([Record.MarshalJSON]) and holds the tokens
// in the clear: the place where it lies decides who can read them. A File is as private
// as the user's account. [Sealed] encrypts the records of any other store, for
// programs that have a safe place for a [Key] and not for everything else.
//
// # Concurrency
//
// Every [Store] is safe for concurrent use. A write names the version it
// replaces and fails with [ErrConflict] if another writer was faster, so an older
// pair never overwrites a newer one, not even without a lock. The lock of a
// [Locker] is for something else: it is the right to spend the session's
// refresh token. Its holder reads the record again first; another holder
// may have done the work.
//
// # Compatibility
//
// Fields written by a newer version of this package survive a round trip
// through an older one. If the format itself is too new, a store fails with
// [ErrNewerFormat] and leaves the record alone. What cannot be read at all is
// moved aside, never deleted ([ErrDamaged]).
//
// # Your own store
//
// Implement Store, and Locker if processes share it, with [CheckName],
// [NextVersion] and the JSON of Record, and run storetest.Run on it.
package tokenstore
