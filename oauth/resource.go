package oauth

import "context"

type resourceKey struct{}

// WithResource returns a context under which token requests ask for the given
// resource indicators (RFC 8707 section 2.2) in place of Config.Resources.
func WithResource(ctx context.Context, resources ...string) context.Context {
	return context.WithValue(ctx, resourceKey{}, resources)
}

// ResourceFrom returns the resource indicators that WithResource put into ctx,
// for authors of a refresh.Refresher. The result must not be modified.
func ResourceFrom(ctx context.Context) []string {
	resources, _ := ctx.Value(resourceKey{}).([]string)
	return resources
}

func (c *Client) resources(ctx context.Context) []string {
	if list := ResourceFrom(ctx); len(list) > 0 {
		return list
	}
	return c.cfg.Resources
}
