#!/bin/sh
# Installs what the tests of tokenstore/sqlstore with the tag "real" need on Linux:
# PostgreSQL's programs, and PgBouncer. The tests start servers of their own.
. "$(dirname "$0")/../../internal/setup/apt.sh"
[ "$(uname -s)" = Linux ] || exit 0
want "/usr/lib/postgresql/*/bin/postgres /usr/lib/postgresql/*/bin/initdb" postgresql
want /usr/sbin/pgbouncer pgbouncer
