#!/bin/sh
# session.sh COMMAND... runs a command in a session of its own, with a bus and an
# open GNOME Keyring that is empty, and ends with its exit code. The keyring of the
# person who runs it is out of reach. It needs no display and no root, only the
# programs that tokenstore/keyring/setup.sh installs.
#
# What the command leaves running on the bus ends with it.
set -eu

# Short: the path of a socket has at most 108 bytes.
scratch=$(mktemp -d /tmp/ks.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
mkdir -m 700 "$scratch/data" "$scratch/run"

# The first call leaves a daemon behind that is unlocked, the second has it come to
# the bus. Without that the first request would start another one, which in some
# sessions outlived them.
code=0
env -u DISPLAY -u WAYLAND_DISPLAY -u GNOME_KEYRING_CONTROL \
	XDG_DATA_HOME="$scratch/data" XDG_RUNTIME_DIR="$scratch/run" \
	dbus-run-session -- sh -c '
		printf %s test-password | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1 || exit 99
		gnome-keyring-daemon --start --components=secrets >/dev/null 2>&1 || exit 98
		"$@"' sh "$@" || code=$?
exit $code
