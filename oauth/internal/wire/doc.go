// Package wire asks authorization servers, and judges what they answer: what package
// oauth and the packages beside it share. It knows none of oauth's types. A request
// that brings no usable answer ends in a [Failure], which converts to an *oauth.Error.
package wire
