package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/evertoken/evertoken/cmd/evertoken/internal/exit"
	"github.com/evertoken/evertoken/cmd/evertoken/internal/profile"
)

// A redirect between the session's APIs carries the token, and one elsewhere does not.
func TestF91_GetFollowsARedirectElsewhereWithoutTheToken(t *testing.T) {
	for name, named := range map[string]bool{"another API": true, "elsewhere": false} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var carried []bool
			note := func(r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				carried = append(carried, r.Header.Get("Authorization") == "Bearer at-secret")
			}
			var first *httptest.Server
			second := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				note(r)
				http.Redirect(w, r, first.URL+"/back", http.StatusFound)
			}))
			defer second.Close()
			first = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if note(r); r.URL.Path != "/back" {
					http.Redirect(w, r, second.URL, http.StatusFound)
				}
			}))
			defer first.Close()
			l := living()
			l.profile.APIs = []string{first.URL}
			if named {
				l.profile.APIs = append(l.profile.APIs, second.URL)
			}
			a := testApp(t)
			var said strings.Builder
			a.stderr, a.closeLimit = &said, closeLimit
			a.Dir, a.Profile = l.save(t), profile.Default
			if code := a.report((&getCmd{URL: first.URL}).Run(t.Context(), a)); code != exit.OK {
				t.Fatalf("exit code %d, after saying %q", code, &said)
			}
			if len(carried) != 3 || !carried[0] || carried[1] != named || carried[2] != named {
				t.Errorf("the token was carried: %v; want it to go along: %v", carried, named)
			}
		})
	}
}
