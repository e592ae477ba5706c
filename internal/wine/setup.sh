#!/bin/sh
# Installs what it takes to run Windows builds here: Wine, and a prefix for it in
# .wine at the top of the tree. It may be run at any time, and does nothing when
# everything is there. Without all of it, test.sh will run nothing.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
. ./env.sh
. ../setup/apt.sh

# stop TEXT tells what is missing, without which the rest is in vain.
stop() {
	missing "$1"
	exit 0
}

[ "$(go env GOHOSTARCH)" = amd64 ] || stop "Wine runs programs for amd64 only on amd64"

# One call of apt for both, since each takes a while to read its lists.
compiler=x86_64-w64-mingw32-gcc
if ! command -v wine >/dev/null; then
	command -v "$compiler" >/dev/null && set -- || set -- gcc-mingw-w64-x86-64-win32
	apt_install wine wine64 "$@" || stop "there is no Wine; install the packages wine and wine64"
fi
[ ! -e "$ready" ] || exit 0

mkdir -p "$WINEPREFIX"
limited 300 wine wineboot -i || stop "Wine could not make its prefix $WINEPREFIX"
limited 60 wineserver -k || : # none is running any more

dll=$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll
if [ ! -e "$dll" ]; then
	command -v "$compiler" >/dev/null || apt_install gcc-mingw-w64-x86-64-win32 ||
		stop "there is no C compiler for Windows; install the package gcc-mingw-w64-x86-64-win32"
	limited 120 "$compiler" -shared -o "$dll" prng.c -ladvapi32 || stop "prng.c does not compile"
fi
: >"$ready"
