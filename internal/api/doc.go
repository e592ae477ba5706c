// Package api keeps the exported names of the module's public packages in
// api/*.txt, so that a new, changed or missing name shows up in review. Its test
// compares; `make api UPDATE=1` writes the files anew.
package api
