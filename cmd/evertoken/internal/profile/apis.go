package profile

import (
	"slices"

	"github.com/evertoken/evertoken/internal/origin"
)

// Origins are where the session's access token may go by the profile alone: the APIs that its
// login named, and the server that gives the token.
func (p *Profile) Origins() []string {
	own := []string{p.Issuer, p.TokenURL, p.UserinfoURL}
	if p.Backend != nil {
		own = []string{p.Backend.URL}
	}
	origins := append([]string(nil), p.APIs...)
	for _, address := range own {
		if o, err := origin.Parse(address); err == nil && !slices.Contains(origins, o.String()) {
			origins = append(origins, o.String())
		}
	}
	return origins
}
