package refresh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evertoken/evertoken/internal/outside/marks"
	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/oauthtest"
	"github.com/evertoken/evertoken/refresh"
	"github.com/evertoken/evertoken/tokenstore"
)

// A handler for terminals, as there are many: it escapes nothing.
type barehandler struct{ out *strings.Builder }

func (barehandler) Enabled(context.Context, slog.Level) bool { return true }
func (h barehandler) Handle(_ context.Context, r slog.Record) error {
	h.out.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool { fmt.Fprint(h.out, " ", a.Key, "=", a.Value); return true })
	return nil
}
func (h barehandler) WithAttrs(attrs []slog.Attr) slog.Handler { fmt.Fprint(h.out, attrs); return h }
func (h barehandler) WithGroup(string) slog.Handler            { return h }

// What Stores, Refreshers, redirects and names say.
func TestF94_NothingThatOthersSayWritesIntoLogsAndStatus(t *testing.T) {
	text := marks.Text("x")
	for name, edit := range map[string]func(*refresh.Config, *faultyStore){
		"a Refresher's error": func(cfg *refresh.Config, _ *faultyStore) {
			cfg.OAuthClient = quoting{&oauth.Error{Op: text, Kind: oauth.ErrTransient, Code: text, Hint: text, Sent: true, Err: errors.New(text)}}
		},
		"a Store that cannot be read": func(_ *refresh.Config, s *faultyStore) {
			s.onGet = func(context.Context) error { return errors.New(text) }
		},
		"a Store that cannot be written": func(_ *refresh.Config, s *faultyStore) {
			s.onSet = func(context.Context, *tokenstore.Record) error { return errors.New(text) }
		},
		"a callback": func(cfg *refresh.Config, _ *faultyStore) {
			cfg.TokenStore = func(context.Context, *oauth.TokenPair) error { return errors.New(text) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				store := newFaultyStore()
				f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) {
					cfg.Store, cfg.Logger = store, slog.New(barehandler{&out})
					cfg.OnInsufficientScope = func(string) { panic(text) }
				}, func(cfg *refresh.Config) { edit(cfg, store) }).start(t)
				_ = f.ForceRefresh(t.Context())
				time.Sleep(time.Hour)
				status, err := json.Marshal(f.GetRefreshStatus())
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "%s %s %s", status, f.GetRefreshStatus().LastError, f.GetRefreshStatus().SaveError)
				f.events.mu.Lock()
				for _, e := range f.events.all {
					fmt.Fprintf(&out, "%v %+v", e.Err, e.Err)
				}
				f.events.mu.Unlock()
				if found := marks.In(out.String(), false); found != nil || !strings.Contains(out.String(), `x\x1b`) {
					t.Errorf("printed %v: %.300q", found, out.String())
				}
			})
		})
	}
}

func TestF94_OriginThatIsNotAllowedIsShownInASCII(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, oauthtest.Config{}, func(cfg *refresh.Config) { cfg.AllowedOrigins = []string{"https://api.test"} }).start(t)
		for address, shown := range map[string]string{
			"https://\u0430pi.test/":      "https://xn--pi-6kc.test, ",
			"https://%D0%B0pi.test/":      "https://xn--pi-6kc.test, ",
			"https://api.test%C2%9B2J/":   `https://api.test\u009b2j, `,
			"https://api.test\u202e:444/": `https://api.test\u202e:444, `,
			"https://[::2]/":              "https://[::2], ",
		} {
			req, err := http.NewRequest(http.MethodGet, address, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Transport(nil).RoundTrip(req)
			if err == nil || !strings.Contains(err.Error(), shown) || marks.In(err.Error(), false) != nil {
				t.Errorf("%q: %v; want it to name %s", address, err, shown)
			}
		}
	})
}
