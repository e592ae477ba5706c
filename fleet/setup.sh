#!/bin/sh
# Installs the engines, and iproute2 for hosts with networks of their own.
"$(dirname "$0")/../tokenstore/redisstore/setup.sh"
"$(dirname "$0")/../tokenstore/sqlstore/setup.sh"
. "$(dirname "$0")/../internal/setup/apt.sh"
want ip iproute2
