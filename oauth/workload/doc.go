// Package workload gets the tokens by which platforms speak for what they run: a job of a CI
// service, or a process on a machine that a broker vouches for. A program shows such a token to
// an authorization server that trusts the platform (RFC 7523 section 2.1), and needs no secret
// of its own:
//
//	job := workload.GitHubActions{Audience: "https://auth.example.com"}
//	manager := refresh.NewManager(refresh.Config{OAuthClient: client.JWTBearerRefresher(job.Token)})
//
// [GitHubActions] asks GitHub (and Forgejo) from within a job, [Variable] reads what GitLab,
// CircleCI or Bitbucket put into the environment, [URL] asks any other platform by HTTP, and
// [Command] runs a program. For a token in a file, such as Kubernetes' projected service
// account tokens, there is oauth.AssertionFile.
//
// Each has a method Token for oauth.Client.JWTBearerRefresher, which calls it before each
// request. Nothing is kept: platforms' tokens end within minutes, and many servers take each
// once.
//
// # Errors
//
// They are of type *oauth.Error with the Op "workload_token", and say what to set. Those that
// match oauth.ErrMisconfigured are about the job or its settings, those that match
// oauth.ErrTransient pass by themselves. None matches oauth.ErrLoginRequired or
// oauth.ErrClientRefused, and none has a Code or is Sent, whatever the platform says: it is
// not the authorization server, which has not been asked. No error holds a token, an address's
// query, or what a platform or a program has written.
//
// # Concurrency
//
// All types are values that can be used by several goroutines at once, and must not be
// changed meanwhile.
package workload
