#!/bin/sh
# Tests packages as a Windows program sees them: test.sh ./tokenstore ...
# Arguments are those of go test, run at the top of the tree.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
. ./internal/wine/env.sh

./internal/wine/setup.sh
if [ ! -e "$ready" ]; then
	echo "test.sh: no Windows test runs" >&2
	exit 0
fi
trap 'wineserver -k 2>/dev/null || :' EXIT
trap 'exit 130' INT TERM
# The race detector would need cgo.
GOOS=windows GOARCH=amd64 CGO_ENABLED=0 go test -exec "$root/internal/wine/run.sh" -count=1 "$@"
