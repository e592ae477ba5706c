// Package ginjwt30 has gin-jwt 3.0.0, whose store interface has no contexts, work on the
// stores of package tokenstore/refreshtoken.
package ginjwt30
