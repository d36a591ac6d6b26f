#!/usr/bin/env bash
# Whether the machine has what the demo cannot install by itself; says all that is missing at once.
# Usage: needs.sh PYTHON
set -u
python=${1:-python3}
packages=()

missing() { # what it is for, Debian package
    echo "demo: $1" >&2
    packages+=("$2")
}

if ! command -v "$python" >/dev/null; then
    missing "$python is missing; cdcd needs Python 3.11 or newer" python3
    missing "and its venv module" python3-venv
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "demo: $python is older than 3.11; name a newer one: make demo PYTHON=python3.12" >&2
    packages+=(python3)
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing "$python has no venv module" python3-venv
fi

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1)
if [ -z "$version" ]; then
    missing "Java is missing; the local servers need Java 17 or newer" openjdk-17-jdk-headless
elif [ "$version" -lt 17 ]; then
    missing "Java $version is too old; the local servers need 17 or newer" openjdk-17-jdk-headless
elif ! command -v "${java}c" >/dev/null; then
    missing "there is Java without its compiler (javac)" openjdk-17-jdk-headless
fi
command -v mvn >/dev/null || missing "Maven is missing; it downloads the local servers" maven
command -v git >/dev/null || missing "git is missing" git

if [ "${OBSERVE:-0}" != 0 ]; then
    command -v go >/dev/null || missing "Go is missing; Jaeger is built by it" golang
    command -v prometheus >/dev/null || missing "Prometheus is missing" prometheus
    command -v prometheus-alertmanager >/dev/null ||
        missing "Alertmanager is missing" prometheus-alertmanager
fi

if [ ${#packages[@]} -gt 0 ]; then
    echo "  on Debian: apt-get install ${packages[*]}" >&2
    exit 1
fi
