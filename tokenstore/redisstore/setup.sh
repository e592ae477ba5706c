#!/bin/sh
# Installs what the tests with the tag "real" need; they start servers of their own.
. "$(dirname "$0")/../../internal/setup/apt.sh"
want "redis-server redis-cli" redis-server
