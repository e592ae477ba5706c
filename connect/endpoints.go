package connect

import "github.com/evertoken/evertoken/oauth"

// endpoints are where an authorization server is asked, as a place keeps them.
type endpoints struct {
	Endpoints     oauth.Endpoints `json:"endpoints,omitzero"`
	AuthURL       string          `json:"auth_url,omitempty"`
	TokenURL      string          `json:"token_url,omitempty"`
	DeviceAuthURL string          `json:"device_auth_url,omitempty"`
	RevocationURL string          `json:"revocation_url,omitempty"`
}

func endpointsOf(cfg oauth.Config) endpoints {
	return endpoints{cfg.Endpoints, cfg.AuthURL, cfg.TokenURL, cfg.DeviceAuthURL, cfg.RevocationURL}
}

// in returns cfg with these endpoints.
func (e endpoints) in(cfg oauth.Config) oauth.Config {
	cfg.Endpoints = e.Endpoints
	cfg.AuthURL, cfg.TokenURL, cfg.DeviceAuthURL, cfg.RevocationURL = e.AuthURL, e.TokenURL, e.DeviceAuthURL, e.RevocationURL
	return cfg
}
