#!/bin/sh
# Installs what the conformance tests need: Chromium, glewlwyd, Redis, and npm
# packages below the directories of the servers that are made of them; and compiles
# those that are made of Go modules, so that no test has to wait for them. It may be run at any time, and does nothing
# when everything is there.
set -eu
cd "$(dirname "$0")"
. ../internal/setup/apt.sh

min_node=20 # as in main_test.go

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

# npm leaves a copy of the lock file behind when it is done.
has_packages() {
	[ node_modules/.package-lock.json -nt package-lock.json ] && [ node_modules/.package-lock.json -nt package.json ]
}

# install_packages DIR
install_packages() (
	cd "$1"
	has_packages || limited 300 npm ci --no-audit --no-fund --ignore-scripts
)

has_chromium || apt_install chromium || missing "there is no Chromium; install it, or set CHROMIUM to its path"
has_node || apt_install nodejs npm || :
# dbconfig-sqlite3 is the smallest of the packages that it can be configured with.
want "glewlwyd sqlite3" glewlwyd dbconfig-sqlite3
want "redis-server" redis-server
if has_node; then
	# npm wants a home for its cache.
	[ -n "${HOME:-}" ] && [ -w "${HOME:-}" ] || export HOME="$scratch"
	for server in oidcprovider nodeoauth mcp; do
		install_packages "$server" || missing "npm could not install $server"
	done
else
	missing "there is no Node.js $min_node or newer with npm"
fi

# The first build takes a minute, and the rest find it in the cache.
for server in fosite ginjwt; do
	(cd "$server" && limited 300 go build -o /dev/null .) || missing "$server cannot be built"
done
for tests in kratos ginjwt ginjwt30 mcp; do
	(cd "$tests" && limited 300 go test -run '^$' . >/dev/null) || missing "$tests cannot be built"
done
