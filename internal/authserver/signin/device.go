package signin

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evertoken/evertoken/internal/authserver/answer"
	"github.com/evertoken/evertoken/internal/authserver/form"
	"github.com/evertoken/evertoken/internal/authserver/page"
	"github.com/evertoken/evertoken/internal/authserver/pending"
	"github.com/evertoken/evertoken/internal/authserver/site"
)

// ServeDeviceAuthorization starts a login (RFC 8628 section 3.1).
func (e *Endpoints) ServeDeviceAuthorization(r *http.Request) *answer.Answer {
	c, refusal := e.Auth.Authenticate(r)
	if refusal != nil {
		return refusal
	}
	if !form.AreResources(r.PostForm["resource"]) {
		return answer.MalformedTarget()
	}
	g := e.Sessions.NewGrant("", c.ID, r.PostForm.Get("scope"))
	g.Resources = r.PostForm["resource"]
	code, userCode := e.Devices.Begin(g)
	address := e.Site.URL(site.Device)
	return answer.JSON(http.StatusOK, map[string]any{
		"device_code": code, "user_code": userCode, "verification_uri": address,
		"verification_uri_complete": address + "?user_code=" + url.QueryEscape(userCode),
		"expires_in":                int64(e.Devices.Lifetime() / time.Second),
		"interval":                  int64(e.Devices.Interval() / time.Second),
	})
}

// ServeDevice is the page on which the person enters the code, and decides.
func (e *Endpoints) ServeDevice(r *http.Request) *answer.Answer {
	b := e.Pages.BrowserOf(r)
	if r.Method == http.MethodPost {
		return e.decideDevice(r, b)
	}
	code := pending.NormalUserCode(r.URL.Query().Get("user_code"))
	if b.User == "" {
		return e.Pages.AskLogin(b, e.Pages.Path(site.Device)+"?"+url.Values{"user_code": {code}}.Encode())
	}
	d := page.Data{Title: "Connect a device", Action: e.Pages.Path(site.Device), UserCode: code, Cookie: b.Cookie}
	if code == "" {
		return e.Pages.Show("device", d)
	}
	g, ok := e.Devices.Waiting(code)
	if !ok {
		d.Problem, d.Status = "This code is wrong or has expired.", http.StatusNotFound
		return e.Pages.Show("device", d)
	}
	d.CSRF, d.User, d.Client, d.Scopes = e.Pages.CSRF(b), b.User, g.Client, strings.Fields(g.Scope)
	return e.Pages.Show("consent", d)
}

// decideDevice takes the consent form.
func (e *Endpoints) decideDevice(r *http.Request, b page.Browser) *answer.Answer {
	if !e.Pages.SameForm(r, b) || b.User == "" {
		return e.Pages.StrangeForm()
	}
	allow := r.PostForm.Get("decision") == "allow"
	if !e.Devices.Settle(pending.NormalUserCode(r.PostForm.Get("user_code")), b.User, allow) {
		return e.Pages.Message(http.StatusNotFound, "Too late", "This code is wrong, has expired, or was decided on before.")
	}
	if !allow {
		return e.Pages.Message(http.StatusOK, "Access denied", "The device was told. You can close this window.")
	}
	return e.Pages.Message(http.StatusOK, "Device connected", "You can close this window and go on at the device.")
}
