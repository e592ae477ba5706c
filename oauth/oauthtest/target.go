package oauthtest

import (
	"context"
	"net/url"
	"slices"
)

// invalidTarget refuses resource indicators (RFC 8707 section 2).
func invalidTarget(description string) *answer { return badRequest("invalid_target", description) }

// areResources reports whether all are resource indicators by their form: absolute
// URIs without fragment (RFC 8707 section 2).
func areResources(resources []string) bool {
	return !slices.ContainsFunc(resources, func(resource string) bool {
		u, err := url.Parse(resource)
		return err != nil || !u.IsAbs() || u.Fragment != ""
	})
}

// beginFor is begin for a token request that names resources of its own: the
// access token is for these alone, which must be among those authorized (RFC 8707
// section 2.2).
func (s *Server) beginFor(ctx context.Context, g grant, resources []string) *answer {
	if len(resources) == 0 {
		return s.answerLogin(s.begin(ctx, g))
	}
	for _, resource := range resources {
		if len(g.Resources) > 0 && !slices.Contains(g.Resources, resource) {
			return invalidTarget("the resource exceeds what was authorized")
		}
	}
	g.firstFor = resources
	return s.answerLogin(s.begin(ctx, g))
}
