#!/bin/sh
# Installs what the tests with the tag "real" need on Linux: GNOME Keyring, a
# session bus, and an X server that shows nothing, with hands to type there. It may
# be run at any time, and does nothing when everything is there. Nothing that it
# installs is started.
set -eu

[ "$(uname -s)" = Linux ] || exit 0
. "$(dirname "$0")/../../internal/setup/apt.sh"

# Not dbus-x11: with it, a program without a bus starts one that outlives it.
want "dbus-daemon dbus-monitor gnome-keyring-daemon secret-tool Xvfb xdotool" \
	dbus gnome-keyring libsecret-tools xvfb xdotool
