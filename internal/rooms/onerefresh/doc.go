// Package onerefresh runs one session in a File for an hour, with and without a refresh,
// so that the command rooms can tell what a refresh runs through.
package onerefresh
