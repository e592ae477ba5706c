#!/bin/sh
# Installs what the tests of tokenstore/sql with the tag "real" need on Linux:
# PostgreSQL's programs, and PgBouncer. The tests start servers of their own.
set -eu

has_all() { ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && [ -x /usr/sbin/pgbouncer ]; }

[ "$(uname -s)" = Linux ] && ! has_all || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql pgbouncer; } </dev/null >/dev/null || :
fi
has_all || { echo "setup.sh: install postgresql and pgbouncer" >&2; [ "${EVERTOKEN_REQUIRE_REAL:-}" != 1 ] && [ "${CI:-}" != true ]; }
