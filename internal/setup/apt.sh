# What the setup.sh of each package shares; they read it, and then say what their
# tests need. A script that needs nothing but Debian packages is two lines:
#
#	. "$(dirname "$0")/../../internal/setup/apt.sh"
#	want "redis-server redis-cli" redis-server
#
# What cannot be installed is told; its tests will skip. With
# EVERTOKEN_REQUIRE_REAL=1 or CI=true the script fails in the end.
set -eu

failed=0
scratch=$(mktemp -d)
log=$scratch/log
trap finish EXIT

finish() {
	status=$?
	rm -rf "$scratch"
	if [ "$failed" = 1 ] && { [ "${EVERTOKEN_REQUIRE_REAL:-}" = 1 ] || [ "${CI:-}" = true ]; }; then
		status=1
	fi
	exit "$status"
}

# missing TEXT tells what is missing, and what the last command said if it failed.
missing() {
	[ ! -s "$log" ] || cat "$log" >&2
	rm -f "$log"
	echo "setup.sh: $1" >&2
	failed=1
}

# limited SECONDS COMMAND... stops a command that hangs; its output goes to $log,
# and stays there if it fails.
limited() {
	seconds=$1
	shift
	if command -v timeout >/dev/null; then
		set -- timeout "$seconds" "$@"
	fi
	"$@" </dev/null >"$log" 2>&1 || return
	rm -f "$log"
}

# apt_install PACKAGE... installs Debian packages. Another apt may be at work.
apt_install() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
	limited 240 apt-get -o DPkg::Lock::Timeout=120 update &&
		DEBIAN_FRONTEND=noninteractive limited 600 \
			apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

# has "PROGRAM..." tells whether all of these can be run. A program may be a
# pattern, such as /usr/lib/postgresql/*/bin/initdb.
has() {
	for program in $1; do
		command -v "$program" >/dev/null || return 1
	done
}

# want "PROGRAM..." PACKAGE... installs the packages unless all programs are there.
want() {
	programs=$1
	shift
	has "$programs" || apt_install "$@" || :
	has "$programs" || missing "install $programs (Debian: $*)"
}
