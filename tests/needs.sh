#!/usr/bin/env bash
# Programs that some tests use and that come as Debian packages: installed here where they are
# missing and this is root on Debian. Elsewhere these tests are skipped and say what they lack.
set -eu

declare -A packages=(
    [amtool]=prometheus-alertmanager
    [chromium]=chromium
    [fish]=fish
    [pgbouncer]=pgbouncer
    [promtool]=prometheus
    [zsh]=zsh
)

missing=()
for program in "${!packages[@]}"; do
    # Some servers are where only root looks for programs.
    PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "tests: not installed, so some tests are skipped: ${missing[*]}" >&2
    exit 0
fi
echo "==> installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# A server among them is not to be started as a service.
install=(apt-get install --yes --no-install-recommends -qq "${missing[@]}")
RUNLEVEL=1 "${install[@]}" >/dev/null || { apt-get update -qq && RUNLEVEL=1 "${install[@]}" >/dev/null; }
