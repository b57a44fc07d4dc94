#!/bin/sh
# Installs what is missing, and only that: `install-deps.sh build` for building and running,
# `install-deps.sh test` for the tests as well, `install-deps.sh browser` for those in Chromium.
# Debian 12 and its kin; anywhere else it names what it cannot find and fails. A tool that is there
# from another source (node, say) is left alone.
set -eu

commands_build="make:make gcc:gcc meson:meson ninja:ninja-build pkg-config:pkg-config"
packages_build="libc6-dev libssl-dev libfyaml-dev node-llhttp libxxhash-dev libjansson-dev"
packages_build="$packages_build libcmocka-dev zlib1g-dev liburing-dev"
commands_test="python3:python3 git:git clang:clang clang-format:clang-format node:nodejs npm:npm"
commands_test="$commands_test spin:spin valgrind:valgrind ip:iproute2"
commands_test="$commands_test unshare:util-linux setpriv:util-linux"
packages_test="libclang-rt-14-dev libwslay-dev wamerican libfuse3-dev fuse3 xfsprogs e2fsprogs"

case "${1:-}" in
build) commands=$commands_build packages=$packages_build ;;
test)
    commands="$commands_build $commands_test"
    packages="$packages_build $packages_test"
    ;;
browser) commands=chromium:chromium packages="" ;;
*)
    echo "usage: install-deps.sh build|test|browser" >&2
    exit 2
    ;;
esac

missing=""
for pair in $commands; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
if command -v dpkg-query >/dev/null 2>&1; then
    for package in $packages; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing="$missing $package"
    done
else
    echo "install-deps: not Debian; these must be there (Debian's names): $packages" >&2
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-deps: missing, and there is no apt-get to install it:$missing" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "install-deps: run as root, or install by hand:$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "install-deps: installing$missing"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update </dev/null
# shellcheck disable=SC2086 # the list is meant to be split
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
    $missing </dev/null
