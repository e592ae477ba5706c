package oauthtest

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A deviceLogin is a login by RFC 8628 under way. Server.mu guards it.
type deviceLogin struct {
	grant    grant
	userCode string
	expires  time.Time
	interval time.Duration
	polled   time.Time
	decided  bool
	allowed  bool
	redeemed bool
}

// serveDeviceAuthorization starts a login (RFC 8628 section 3.1).
func (s *Server) serveDeviceAuthorization(r *http.Request) *answer {
	c, refusal := s.authenticate(r)
	if refusal != nil {
		return refusal
	}
	if !areResources(r.PostForm["resource"]) {
		return invalidTarget("a resource must be an absolute URI without fragment")
	}
	g := s.newGrant("", c.ID, r.PostForm.Get("scope"))
	g.Resources = r.PostForm["resource"]
	code, d := randomID(24), &deviceLogin{
		grant: g, userCode: newUserCode(), interval: s.cfg.DeviceInterval,
		expires: s.now().Add(s.cfg.DeviceCodeLifetime),
	}
	s.mu.Lock()
	s.devices[hashOf(code)] = d
	s.mu.Unlock()
	page := s.Endpoint(DeviceEndpoint)
	return jsonAnswer(http.StatusOK, map[string]any{
		"device_code": code, "user_code": d.userCode, "verification_uri": page,
		"verification_uri_complete": page + "?user_code=" + url.QueryEscape(d.userCode),
		"expires_in":                int64(s.cfg.DeviceCodeLifetime / time.Second),
		"interval":                  int64(s.cfg.DeviceInterval / time.Second),
	})
}

// newUserCode returns eight consonants, which RFC 8628 section 6.1 recommends:
// easy to type, and no words.
func newUserCode() string {
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	b := make([]byte, 8)
	rand.Read(b) //nolint:errcheck // it never fails
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)] // a slight bias does no harm here
	}
	return string(b[:4]) + "-" + string(b[4:])
}

// grantByDevice is a poll (RFC 8628 section 3.4).
func (s *Server) grantByDevice(r *http.Request, c RegisteredClient) *answer {
	raw := r.PostForm.Get("device_code")
	if raw == "" {
		return badRequest("invalid_request", "device_code is missing")
	}
	g, refusal := s.poll(hashOf(raw), c)
	if refusal != nil {
		return s.devicePending(detached(r), hashOf(raw), refusal)
	}
	return s.beginFor(detached(r), g, r.PostForm["resource"])
}

// poll returns the grant once the person has allowed it.
func (s *Server) poll(hash string, c RegisteredClient) (grant, *answer) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[hash]
	switch {
	case d == nil || d.grant.Client != c.ID || d.redeemed:
		return grant{}, invalidGrant("the device code is unknown or was used")
	case !now.Before(d.expires):
		return grant{}, badRequest("expired_token", "the device code has expired")
	case d.decided && !d.allowed:
		return grant{}, badRequest("access_denied", "the person said no")
	case d.decided:
		d.redeemed = true
		d.grant.LoginUnix = now.Unix()
		return d.grant, nil
	}
	early := !d.polled.IsZero() && now.Sub(d.polled) < d.interval
	d.polled = now
	if early {
		d.interval += 5 * time.Second // RFC 8628 section 3.5
		return grant{}, badRequest("slow_down", "the client polls too often")
	}
	return grant{}, badRequest("authorization_pending", "the person has not decided")
}

// serveDevice is the page on which the person enters the code, and decides.
func (s *Server) serveDevice(r *http.Request) *answer {
	b := s.browserOf(r)
	if r.Method == http.MethodPost {
		return s.decideDevice(r, b)
	}
	code := normalUserCode(r.URL.Query().Get("user_code"))
	if b.user == "" {
		return s.askLogin(b, s.base+string(DeviceEndpoint)+"?"+url.Values{"user_code": {code}}.Encode(), "", "")
	}
	d := pageData{Title: "Connect a device", Action: s.base + string(DeviceEndpoint), UserCode: code, cookie: b.cookie}
	if code == "" {
		return s.showPage("device", d)
	}
	g, ok := s.pendingDevice(code)
	if !ok {
		d.Problem, d.status = "This code is wrong or has expired.", http.StatusNotFound
		return s.showPage("device", d)
	}
	d.CSRF, d.User, d.Client, d.Scopes = s.csrf(b), b.user, g.Client, strings.Fields(g.Scope)
	return s.showPage("consent", d)
}

// decideDevice takes the consent form.
func (s *Server) decideDevice(r *http.Request, b browser) *answer {
	if !s.sameForm(r, b) || b.user == "" {
		return s.strangeForm()
	}
	allow := r.PostForm.Get("decision") == "allow"
	if !s.settleDevice(normalUserCode(r.PostForm.Get("user_code")), b.user, allow) {
		return s.message(http.StatusNotFound, "Too late", "This code is wrong, has expired, or was decided on before.")
	}
	if !allow {
		return s.message(http.StatusOK, "Access denied", "The device was told. You can close this window.")
	}
	return s.message(http.StatusOK, "Device connected", "You can close this window and go on at the device.")
}

// normalUserCode forgives how a person may type the code.
func normalUserCode(code string) string {
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	if len(code) == 8 {
		return code[:4] + "-" + code[4:]
	}
	return code
}

func (s *Server) pendingDevice(userCode string) (grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.pendingDeviceLocked(userCode); d != nil {
		return d.grant, true
	}
	return grant{}, false
}

// settleDevice reports whether userCode was waiting for the decision.
func (s *Server) settleDevice(userCode, user string, allow bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.pendingDeviceLocked(userCode)
	if d == nil {
		return false
	}
	d.decided, d.allowed, d.grant.User = true, allow, user
	return true
}

func (s *Server) pendingDeviceLocked(userCode string) *deviceLogin {
	now := s.now()
	for _, d := range s.devices {
		if d.userCode == userCode && !d.decided && now.Before(d.expires) {
			return d
		}
	}
	return nil
}
