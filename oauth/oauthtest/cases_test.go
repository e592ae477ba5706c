package oauthtest_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth/oauthtest"
)

// The files in testdata are answers from public reports. Everything in them can be
// played.

// A reported answer is a row of one of the files.
type reported struct {
	ID          string
	Status      int
	ContentType string `json:"content_type"`
	Body        string
	Ends        string
}

func readCase(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// source is where a report was made, at the end of its ID.
var source = regexp.MustCompile(` \([^()]*[#/][^()]*\)$`)

func TestEveryReportedRefusalCanBePlayed(t *testing.T) {
	for file, catalogue := range map[string][]oauthtest.Refusal{
		"passing-refusals.json": oauthtest.Cases().PassingRefusals,
		"client-refusals.json":  oauthtest.Cases().ClientRefusals,
		"dead-grants.json":      oauthtest.Cases().DeadAnswers,
	} {
		var rows struct{ Cases []reported }
		readCase(t, file, &rows)
		if len(rows.Cases) == 0 {
			t.Errorf("%s has no rows", file)
		}
		for _, row := range rows.Cases {
			name := source.ReplaceAllString(row.ID, "")
			i := slices.IndexFunc(catalogue, func(r oauthtest.Refusal) bool { return r.Name == name })
			if i < 0 {
				t.Errorf("%s: %q is not in the catalogue", file, name)
				continue
			}
			t.Run(name, func(t *testing.T) { plays(t, catalogue[i].Fault(), row, false) })
		}
	}
}

func TestEveryReportedOddAnswerCanBePlayed(t *testing.T) {
	var rows []reported
	readCase(t, "token-answers.json", &rows)
	if len(rows) == 0 {
		t.Error("no rows")
	}
	catalogue := oauthtest.Cases().OddAnswers
	for _, row := range rows {
		i := slices.IndexFunc(catalogue, func(o oauthtest.OddAnswer) bool { return o.Name == row.ID })
		if i < 0 {
			t.Errorf("%q is not in the catalogue", row.ID)
			continue
		}
		if row.ID == "latin-1" { // which JSON cannot hold
			row.Body = strings.ReplaceAll(row.Body, "ö", "\xf6")
		}
		t.Run(row.ID, func(t *testing.T) { plays(t, catalogue[i].Fault, row, true) })
	}
}

// plays fails the test unless a refresh gets a row's answer, with the server's own
// tokens in it.
func plays(t *testing.T, f oauthtest.Fault, row reported, commits bool) {
	transports(t, oauthtest.Config{AccessTokenLifetime: 10 * time.Minute}, func(t *testing.T, s *oauthtest.Server, c *http.Client) {
		_, token := login(t, s)
		scripted, row := f, row
		if f.Rewrite != nil {
			scripted.Rewrite = func(body []byte) []byte {
				row.Body = withTokens(t, row, body)
				return f.Rewrite(body)
			}
		}
		s.Script(scripted)
		r := refreshBy(t, s, c, token)
		if r.status != row.Status || r.body != row.Body || r.header.Get("Content-Type") != row.ContentType {
			t.Errorf("HTTP %d %q %q; want %d %q %q", r.status, r.header.Get("Content-Type"), r.body, row.Status, row.ContentType, row.Body)
		}
		if early := row.Ends == "unexpected EOF"; errors.Is(r.err, io.ErrUnexpectedEOF) != early {
			t.Errorf("the body ends with %v; want %s", r.err, row.Ends)
		}
		if committed := s.Refreshes() == 1; committed != commits {
			t.Errorf("the server has carried out the refresh: %v; want %v", committed, commits)
		}
	})
}

// withTokens puts the tokens of the server's own answer in place of the reported.
func withTokens(t *testing.T, row reported, own []byte) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(own, &fields); err != nil {
		t.Fatal(err)
	}
	access, _ := fields["access_token"].(string)
	refresh, _ := fields["refresh_token"].(string)
	if strings.Contains(row.ContentType, "form") {
		access, refresh = url.QueryEscape(access), url.QueryEscape(refresh)
	}
	return strings.NewReplacer("at-2", access, "rt-2", refresh).Replace(row.Body)
}

func TestTokensInAnOddAnswerAreTheSessions(t *testing.T) {
	for _, odd := range oauthtest.Cases().OddAnswers {
		t.Run(odd.Name, func(t *testing.T) {
			transports(t, oauthtest.Config{}, func(t *testing.T, s *oauthtest.Server, c *http.Client) {
				_, token := login(t, s)
				var own []byte
				f := odd.Fault
				f.Rewrite = func(body []byte) []byte {
					own = slices.Clone(body)
					return odd.Fault.Rewrite(body)
				}
				s.Script(f)
				sent := refreshBy(t, s, c, token)
				next := result{body: string(own)}.text(t, "refresh_token")
				if whole := strings.Contains(sent.body, next) || strings.Contains(sent.body, url.QueryEscape(next)); whole == odd.Cut {
					t.Errorf("the refresh token is whole: %v, Cut: %v", whole, odd.Cut)
				}
				if spends := s.Spends(); spends[0].Delivered == odd.Cut {
					t.Errorf("the auditor takes the answer to be received: %v, Cut: %v", spends[0].Delivered, odd.Cut)
				}
				refreshBy(t, s, c, next).wantOK(t)
				wantMistakes(t, s)
			})
		})
	}
}

func TestSendingAgainWhatAnOddAnswerHasRenewedIsAMistake(t *testing.T) {
	for _, odd := range oauthtest.Cases().OddAnswers {
		if odd.Cut {
			continue
		}
		s := oauthtest.New(oauthtest.Config{})
		_, token := login(t, s)
		s.Script(odd.Fault)
		refresh(t.Context(), s, token)
		refresh(t.Context(), s, token)
		wantMistakes(t, s, oauthtest.SpentTwice)
	}
}

func TestEveryReportedTokenTypeIsListed(t *testing.T) {
	var rows struct {
		TokenTypes []string `json:"token_types"`
	}
	readCase(t, "token-types.json", &rows)
	if !slices.Equal(rows.TokenTypes, oauthtest.Cases().TokenTypes) {
		t.Errorf("TokenTypes() = %q; want %q", oauthtest.Cases().TokenTypes, rows.TokenTypes)
	}
}
