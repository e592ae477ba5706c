package oauthtest

// An APIShape is how an API tells where its tokens come from (RFC 9728). All of these are in
// use. The zero value is the specification's: metadata at the well-known address of the
// resource's path, which name the resource, and to which challenges point.
type APIShape struct {
	// MetadataAtRoot publishes the metadata at the well-known address of the origin, and
	// not at that of the resource's path.
	MetadataAtRoot bool
	// ResourceIsOrigin makes the metadata name the origin as the resource, without a slash.
	ResourceIsOrigin bool
	// NoMetadataInChallenge leaves resource_metadata out of challenges.
	NoMetadataInChallenge bool
	// NoMetadata publishes none, as servers of the Model Context Protocol did before
	// 2025-06-18.
	NoMetadata bool
	// PostOnly makes the resource answer 405 to everything but POST, whether or not there
	// is a token.
	PostOnly bool
}
