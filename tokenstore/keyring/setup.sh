#!/bin/sh
# Installs what the tests with the tag "real" need on Linux: GNOME Keyring, a
# session bus, and an X server that shows nothing, with hands to type there. It may
# be run at any time, and does nothing when everything is there. Nothing that it
# installs is started.
#
# What cannot be installed is told; its tests will skip. With
# EVERTOKEN_REQUIRE_REAL=1 or CI=true that is a failure.
set -eu

failed=0

missing() {
	echo "setup.sh: $1" >&2
	failed=1
}

# limited SECONDS COMMAND... stops a command that hangs; its output goes to $log.
limited() {
	seconds=$1
	shift
	if command -v timeout >/dev/null; then
		timeout "$seconds" "$@" </dev/null >"$log" 2>&1
	else
		"$@" </dev/null >"$log" 2>&1
	fi
}

has_all() {
	for program in dbus-daemon dbus-monitor gnome-keyring-daemon secret-tool Xvfb xdotool; do
		command -v "$program" >/dev/null || return 1
	done
}

# Not dbus-x11: with it, a program without a bus starts one that outlives it.
apt_install() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
	limited 120 apt-get update && DEBIAN_FRONTEND=noninteractive limited 300 apt-get install -y --no-install-recommends "$@"
}

[ "$(uname -s)" = Linux ] || exit 0

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log

if ! has_all; then
	apt_install dbus gnome-keyring libsecret-tools xvfb xdotool || { [ ! -s "$log" ] || cat "$log" >&2; }
	has_all || missing "install dbus-daemon, dbus-monitor, gnome-keyring-daemon, secret-tool, Xvfb and xdotool"
fi

if [ "$failed" = 1 ] && { [ "${EVERTOKEN_REQUIRE_REAL:-}" = 1 ] || [ "${CI:-}" = true ]; }; then
	exit 1
fi
