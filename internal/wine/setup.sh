#!/bin/sh
# Installs what it takes to run Windows builds here: Wine, and a prefix for it in
# .wine at the top of the tree. It may be run at any time, and does nothing when
# everything is there.
#
# What cannot be installed is told; test.sh will then run nothing. With
# EVERTOKEN_REQUIRE_REAL=1 or CI=true that is a failure.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
. ./env.sh

missing() {
	[ ! -s "$log" ] || cat "$log" >&2
	echo "setup.sh: $1" >&2
	if [ "${EVERTOKEN_REQUIRE_REAL:-}" = 1 ] || [ "${CI:-}" = true ]; then
		exit 1
	fi
	exit 0
}

# limited SECONDS COMMAND... stops a command that hangs; its output goes to $log.
limited() {
	seconds=$1
	shift
	timeout "$seconds" "$@" </dev/null >"$log" 2>&1
}

apt_install() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
	limited 120 apt-get -o DPkg::Lock::Timeout=120 update &&
		DEBIAN_FRONTEND=noninteractive limited 600 \
			apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log

[ "$(go env GOHOSTARCH)" = amd64 ] || missing "Wine runs programs for amd64 only on amd64"

# One call of apt for both, since each takes a while to read its lists.
compiler=x86_64-w64-mingw32-gcc
if ! command -v wine >/dev/null; then
	command -v "$compiler" >/dev/null && set -- || set -- gcc-mingw-w64-x86-64-win32
	apt_install wine wine64 "$@" || missing "there is no Wine; install the packages wine and wine64"
fi
[ ! -e "$ready" ] || exit 0

mkdir -p "$WINEPREFIX"
limited 300 wine wineboot -i || missing "Wine could not make its prefix $WINEPREFIX"
limited 60 wineserver -k || : # none is running any more

dll=$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll
if [ ! -e "$dll" ]; then
	command -v "$compiler" >/dev/null || apt_install gcc-mingw-w64-x86-64-win32 ||
		missing "there is no C compiler for Windows; install the package gcc-mingw-w64-x86-64-win32"
	limited 120 "$compiler" -shared -o "$dll" prng.c -ladvapi32 || missing "prng.c does not compile"
fi
: >"$ready"
