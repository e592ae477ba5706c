#!/bin/sh
# Installs what the conformance tests need: Chromium, glewlwyd, and npm packages
# below the directories of the servers that are made of them; and compiles fosite,
# so that no test has to wait for it. It may be run at any time, and does nothing
# when everything is there.
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
has_packages() {
	[ node_modules/.package-lock.json -nt package-lock.json ] && [ node_modules/.package-lock.json -nt package.json ]
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log

# install_packages DIR
install_packages() (
	cd "$1"
	has_packages || limited 300 npm ci --no-audit --no-fund --ignore-scripts
)

has_glewlwyd() {
	command -v glewlwyd >/dev/null && command -v sqlite3 >/dev/null
}

has_chromium || apt_install chromium || missing "there is no Chromium; install it, or set CHROMIUM to its path"
has_node || apt_install nodejs npm || :
# dbconfig-sqlite3 is the smallest of the packages that it can be configured with.
has_glewlwyd || apt_install glewlwyd dbconfig-sqlite3 || missing "there is no glewlwyd (a Debian package)"
if has_node; then
	# npm wants a home for its cache.
	[ -n "${HOME:-}" ] && [ -w "${HOME:-}" ] || export HOME="$scratch"
	for server in oidcprovider nodeoauth; do
		install_packages "$server" || { cat "$log" >&2; missing "npm could not install $server"; }
	done
else
	missing "there is no Node.js $min_node or newer with npm"
fi

# The first build takes a minute, and the rest find it in the cache.
(cd fosite && limited 300 go build -o /dev/null .) || { cat "$log" >&2; missing "fosite cannot be built"; }

if [ "$failed" = 1 ] && { [ "${EVERTOKEN_REQUIRE_REAL:-}" = 1 ] || [ "${CI:-}" = true ]; }; then
	exit 1
fi
