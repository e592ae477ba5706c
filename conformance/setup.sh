#!/bin/sh
# Installs what the conformance tests need: Chromium, and oidc-provider below
# oidcprovider/node_modules. It may be run at any time, and does nothing when
# everything is there.
#
# What cannot be installed is told; its tests will skip. With
# EVERTOKEN_REQUIRE_REAL=1 or CI=true that is a failure.
set -eu
cd "$(dirname "$0")"

min_node=20 # as in main_test.go
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

has_chromium() {
	for name in ${CHROMIUM:+"$CHROMIUM"} chromium chromium-browser google-chrome; do
		command -v "$name" >/dev/null && return 0
	done
	return 1
}

has_node() {
	command -v node >/dev/null && command -v npm >/dev/null &&
		[ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$min_node" ]
}

apt_install() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
	limited 120 apt-get update && DEBIAN_FRONTEND=noninteractive limited 300 apt-get install -y --no-install-recommends "$@"
}

# npm leaves a copy of the lock file behind when it is done.
has_provider() {
	[ node_modules/.package-lock.json -nt package-lock.json ] && [ node_modules/.package-lock.json -nt package.json ]
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log

has_chromium || apt_install chromium || missing "there is no Chromium; install it, or set CHROMIUM to its path"
has_node || apt_install nodejs npm || :
if has_node; then
	cd oidcprovider
	# npm wants a home for its cache.
	[ -n "${HOME:-}" ] && [ -w "${HOME:-}" ] || export HOME="$scratch"
	if ! has_provider && ! limited 300 npm ci --no-audit --no-fund --ignore-scripts; then
		cat "$log" >&2
		missing "npm could not install oidc-provider"
	fi
else
	missing "there is no Node.js $min_node or newer with npm"
fi

if [ "$failed" = 1 ] && { [ "${EVERTOKEN_REQUIRE_REAL:-}" = 1 ] || [ "${CI:-}" = true ]; }; then
	exit 1
fi
