package profile

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evertoken/evertoken/oauth"
	"github.com/evertoken/evertoken/oauth/preset"
)

func TestMannersSurviveTheProfile(t *testing.T) {
	all := Manners{Preset: "google", Lifetime: Span(90 * time.Minute), RefreshIdle: Span(720 * time.Hour), ScopeSeparator: ",", NoPKCE: true, TokenPath: "a.b"}
	for i := range reflect.TypeFor[Manners]().NumField() {
		if reflect.ValueOf(all).Field(i).IsZero() {
			t.Errorf("%s is not tried", reflect.TypeFor[Manners]().Field(i).Name)
		}
	}
	data, err := json.Marshal(&Profile{Manners: all})
	if err != nil {
		t.Fatal(err)
	}
	var back Profile
	if err := json.Unmarshal(data, &back); err != nil || back.Manners != all {
		t.Errorf("got %+v, %v; want %+v", back.Manners, err, all)
	}
	cfg, err := back.Config()
	if err != nil || cfg.Preset.RefreshIdleLimit != preset.Google().RefreshIdleLimit || cfg.DefaultLifetime != 90*time.Minute ||
		cfg.ScopeSeparator != "," || !cfg.DisablePKCE || cfg.TokenPath != "a.b" {
		t.Errorf("the client does not mind them: %+v, %v", cfg, err)
	}
}

func TestOldProfileHasTheDefaultManners(t *testing.T) {
	var p Profile
	if err := json.Unmarshal([]byte(`{"format":1,"client_id":"id","token_url":"https://auth.test/token"}`), &p); err != nil {
		t.Fatal(err)
	}
	cfg, err := p.Config()
	if err != nil || p.Manners != (Manners{}) || !reflect.DeepEqual(cfg, oauth.Config{ClientID: "id", TokenURL: "https://auth.test/token"}) {
		t.Errorf("got %+v, %v; want nothing but client and server", p, err)
	}
	data, err := json.Marshal(p)
	if err != nil || strings.Contains(string(data), "preset") || strings.Contains(string(data), "idle") {
		t.Errorf("written again as %s, %v", data, err)
	}
}

func TestEveryPresetHasAName(t *testing.T) {
	for _, name := range strings.Split("google, github-app, gitlab, entra, okta, atlassian, xero, dropbox, reddit, x", ", ") {
		if preset := presets[name]; preset == nil || reflect.ValueOf(preset()).IsZero() {
			t.Errorf("there is no preset %q", name)
		}
		if !strings.Contains(", "+PresetNames()+",", ", "+name+",") {
			t.Errorf("%q is not listed in %q", name, PresetNames())
		}
	}
}
