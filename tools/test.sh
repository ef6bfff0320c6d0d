#!/usr/bin/env bash
# Lints the project and runs all its tests, in .venv, which it makes if need be.
#
#   tools/test.sh [PYTEST ARGUMENTS]     for instance: tools/test.sh tests/test_scores.py -k ties
#
# PERCEPTUAL_TESTDATA names a folder of published reference data; tests that need it skip without.
# The exit status is pytest's.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/setup_venv.sh test
echo "Linting ..."
.venv/bin/python -m ruff check --quiet .
echo "Testing ..."
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
