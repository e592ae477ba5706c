// Package drivertest tests tokenstore/sqlstore with real databases, through drivers that
// the module proper does not want in its go.mod: SQLite in a file, and with the tag
// "real" PostgreSQL servers that are killed, stopped, restarted and cut off.
package drivertest
