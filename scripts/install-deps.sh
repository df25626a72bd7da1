#!/bin/sh
# Installs the Debian packages that are missing. Does nothing, quickly and silently, when none is.
#
#   scripts/install-deps.sh build|test
#
# build: what compiles and runs Aoide; test: also phones, browser, fuzzer and PostgreSQL for `make test`.
set -eu

kind=${1:-build}

packages="gcc libc6-dev make meson ninja-build pkgconf python3-minimal ca-certificates
libre-dev libssl-dev libjansson-dev libsodium-dev libsqlite3-dev libpq-dev libwebsockets-dev
libcap-dev libexpat1-dev liburing-dev libcmocka-dev
libsndfile1-dev libmpg123-dev libarchive-dev libspeexdsp-dev libspandsp-dev libopus-dev libogg-dev libgsm1-dev
libbcg729-dev"
if [ "$kind" = test ]; then
	packages="$packages clang libclang-rt-dev llvm valgrind curl openssl procps
	baresip-core baresip-ffmpeg sip-tester linphone-cli sox ffmpeg chromium postgresql iproute2"
fi

# Any Node.js of at least version 18 with npm will do; Debian's is taken when there is none.
if [ -f web/package.json ] || [ -f tests/e2e/package.json ]; then
	node_major=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)
	if [ "${node_major:-0}" -lt 18 ] || ! command -v npm >/dev/null 2>&1; then
		packages="$packages nodejs npm"
	fi
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
missing=
for package in $packages; do
	printf '%s\n' "$installed" | grep -qx "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "These Debian packages are missing; install them as root:" >&2
		echo "  apt-get install$missing" >&2
		exit 1
	fi
	as_root="sudo -n"
	if ! sudo -n true 2>/dev/null; then
		as_root=sudo
	fi
fi

echo "Installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# A database server of Debian's own is not needed: tests start theirs in a temporary folder.
if ! { $as_root apt-get update -qq &&
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	rm -f "$log"
	echo "The packages could not be installed; see above." >&2
	exit 1
fi
rm -f "$log"
