package connect_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/connect"
	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// challenged has the API publish its metadata nowhere but where its challenge says, which it
// sends to requests of the given method alone; empty: to all.
func challenged(method string) *edit {
	return &edit{before: func(req *http.Request) *http.Response {
		switch {
		case strings.HasPrefix(req.URL.Path, "/.well-known/oauth-protected-resource"):
			return &http.Response{StatusCode: 404, Header: http.Header{}, Body: http.NoBody}
		case req.URL.Path == "/meta":
			req.URL.Path = "/.well-known/oauth-protected-resource/resource"
		case req.URL.Path != "/resource" || req.Header.Get("Authorization") != "":
		case method != "" && req.Method != method:
			return &http.Response{StatusCode: 405, Header: http.Header{}, Body: http.NoBody}
		default:
			return &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {`Bearer resource_metadata="https://auth.test/meta"`}}, Body: http.NoBody}
		}
		return nil
	}}
}

// When the token endpoint ends the session, no request reaches the API that it would refuse.
func TestF90_ASessionWhoseMetadataOnlyTheChallengeNamesCanBeginAgain(t *testing.T) {
	for name, method := range map[string]string{"for every method": "", "for POST alone": "POST"} {
		for how, restarted := range map[string]bool{"running": false, "restarted": true} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newPerson(oauthtest.Config{})
					e := challenged(method)
					s := p.process(t, e.use)
					mustCall(t, "first", s)
					time.Sleep(2 * time.Minute)
					p.server.RevokeAll(oauthtest.DefaultUser)
					if restarted {
						s.Close()
						s = p.process(t, func(cfg *connect.Config) { challenged(method).use(cfg) })
					}
					time.Sleep(time.Hour)
					mustCall(t, "after the session's end", s)
					p.want(t, "afterwards", 2, 1)
				})
			})
		}
	}
}
