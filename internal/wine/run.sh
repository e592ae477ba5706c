#!/bin/sh
# Runs a Windows program under Wine: go test -exec internal/wine/run.sh (by its
# absolute path, since tests run in the directories of their packages).
#
# The Wine server and its helpers outlive the program by some seconds, so that
# the next one starts faster.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/internal/wine/env.sh"
# The first program starts these helpers, and they inherit its output: go test
# would wait for them in vain.
wine cmd /c exit </dev/null >/dev/null 2>&1
exec wine "$@" </dev/null
