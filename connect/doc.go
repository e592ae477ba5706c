// Package connect leads from the URL of an API to a session that lives: it finds the
// API's authorization server (RFC 9728), becomes a client there (RFC 7591, or a client or
// a document of the program's own), logs a person in once, and renews from then on.
//
//	session, err := connect.New(connect.Config{
//		URL:     "https://api.example.com/v1",
//		Client:  register.Options{Metadata: register.Metadata{ClientName: "My tool"}},
//		Refresh: refresh.Config{Store: store},
//	})
//	if err != nil {
//		return err
//	}
//	defer session.Close()
//	resp, err := session.Client().Get(session.URL())
//
// A program whose API has one authorization server that it knows needs none of this:
// oauth.Client and refresh.Manager are shorter.
//
// # When a person is asked
//
// A window opens when there is no session yet, when the authorization server has ended it
// or no longer knows the client (or has no other secret for one whose secret has ended), when the API names another authorization server, and when
// a call needs more than the person has granted. It opens once, however many calls want it,
// and in however many processes that share a Store with locks: the others wait, and take
// over the session, or learn that the person has refused. Calls that need something else than
// the window under way asks for wait for its end, and then for one that asks for all that they
// need. If the process whose login it is
// dies, another one on the same machine goes on with that login, in the window that is open.
// A living token that cannot be renewed is shown once more, five seconds after its refusal.
// No window opens again for a login whose token the API has never taken (by a 2xx), nor for scopes
// that were asked for already (but for a login that has grown older than the API wants), nor, until the next start or [Session.Connect], for a login
// that the person has refused or not completed. With [Config.Grant] no person is asked.
//
// # What is stored where
//
// All is in Config.Refresh.Store, or in memory without one. Tokens are under the name that
// [SessionName] returns. Beside them are records that listings leave out
// (tokenstore.ServerRecord): the client that the program is at each authorization server,
// with its secret; where the session of a URL is, so that the next process needs neither
// a refusal nor the servers' metadata (which is asked for once more where the endpoints have
// moved); and the login under way. A tokenstore.Sealed seals
// them like the tokens.
//
// Without a Config.Account, two programs with one Store that name the same URL share one
// session and one client.
//
// # Concurrency
//
// A Session is safe for concurrent use.
package connect
