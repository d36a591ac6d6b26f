#!/usr/bin/env bash
# `make demo`: what the machine must have, then .venv, then the demo. Whatever fails, the last line
# is JSON.
# Usage: demo.sh PYTHON
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
    printf '{"tables":0,"rows_expected":0,"rows_ok":0,"insert_seconds":null,'
    printf '"update_seconds":null,"passed":false,"error":"%s","logs":null}\n' "$1"
    exit 1
}

python=${1:-python3}
deploy/local/needs.sh "$python" || fail "programs are missing"
MAKEFLAGS='' make -s --no-print-directory "PYTHON=$python" .venv/.made ||
    fail "the environment .venv was not made"
exec .venv/bin/python deploy/local/demo.py
