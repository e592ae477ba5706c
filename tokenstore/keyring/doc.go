// Package keyring keeps OAuth sessions with the help of the keyring that the
// operating system has for its user: the Secret Service on Linux and the BSDs
// (GNOME Keyring, KWallet, KeePassXC), the Keychain on macOS, the Credential Manager
// on Windows.
//
// Most callers want [Open]:
//
//	store, err := keyring.Open(ctx, keyring.Config{Service: "myprogram"})
//	manager := refresh.NewManager(refresh.Config{OAuthClient: client, Store: store, Session: "default"})
//
// # What is stored where
//
// Open puts one item into the keyring, a random key of 256 bits. The sessions are
// files in Config.Dir, sealed with that key (AES-256-GCM, [tokenstore.Sealed]). So
// their size does not matter, a save costs what a file costs, and a backup of the
// directory is of no use without the keyring.
//
// [OpenDirect] puts the sessions themselves into the keyring, for users who may
// have nothing on disk. It is slower: each save takes several calls of the keyring,
// and on Linux every one of them rewrites all that the user has there.
//
//	item                  of
//	sealing-key           Open: the key, and keys before it
//	session/<name>        OpenDirect: a session, or the beginning of one
//	session/<name>/a/<n>  OpenDirect: the rest of a large one, in slot a or b
//	sessions              OpenDirect: the names of all sessions
//
// The locks of both are empty files in the user's home, in the directory
// evertoken/keyring-locks of the place for a program's state. They are found
// without the environment: $HOME and $XDG_STATE_HOME may differ between two
// processes that see the same keyring, and then they have to see the same locks.
//
// # Who can read it
//
// A keyring protects what it has from other users and from a finder of the disk.
// It does not protect it from other programs of the same user. On Linux each of
// them may ask for every item while the keyring is open, and watch the session bus,
// over which the values travel in the clear: with Open that is the key, and with
// OpenDirect the tokens as well. On macOS the items belong to /usr/bin/security,
// which every program may run. On Windows every program of the user may read all
// credentials.
//
// # When the keyring cannot be used
//
// Every call ends within a limit (Config.Timeout, Config.PromptTimeout), even if
// the service never answers. There is no fallback: the error is [ErrNoKeyring],
// [ErrKeyringLocked] or [ErrTimeout], each of which says what to do, and none of which
// looks like a session that is absent. A program that wants a plain
// [tokenstore.File] where there is no keyring has its user say so.
//
// No person is asked to unlock a keyring unless there is a display and no CI. Nothing
// here starts a session bus.
//
// # Limits
//
// A Windows credential holds 2,560 bytes and an item that security(1) saves on macOS
// about 2,900; OpenDirect splits what is larger. The Secret Service has no limit.
// FreeBSD and DragonFly have a keyring only in programs built with cgo, and systems
// not named here have none: ErrNoKeyring. The keyring of macOS cannot be looked at
// without perhaps showing a window, so a call there has PromptTimeout where a person
// could be asked.
package keyring
