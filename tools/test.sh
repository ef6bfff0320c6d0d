#!/usr/bin/env bash
# Lints the project and runs its tests, in .venv, which it makes if need be.
#
#   tools/test.sh [--all] [PYTEST ARGUMENTS]     for instance: tools/test.sh tests/test_scores.py -k ties
#
# --all installs JAX, PyTorch and what an export is converted with, and runs their tests too. PyTorch's
# build for CPUs will do; docs/exporting.md says how to get it.
# PERCEPTUAL_TESTDATA names a folder of published reference data; tests that need it skip without.
# The exit status is pytest's.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

extras=test
if [ "${1:-}" = --all ]; then
  shift
  extras=test,export,backends
fi
tools/setup_venv.sh $extras
echo "Linting ..."
.venv/bin/python -m ruff check --quiet .
if [ $extras = test ]; then
  echo "Testing; what needs JAX, PyTorch, ONNX, LiteRT or TensorFlow Serving skips where that is not" \
    "installed (all of it: tools/test.sh --all) ..."
else
  echo "Testing ..."
fi
exec .venv/bin/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder "$@"
