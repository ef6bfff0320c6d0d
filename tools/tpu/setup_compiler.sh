#!/usr/bin/env bash
# Makes .venv-tpu-compiler at the root of the repository: the TPU's compiler, which needs no TPU, and
# the JAX that calls it. About 1 GB. Another call does nothing until the requirements change.
#
#   tools/tpu/setup_compiler.sh
#
# PYTHON=... chooses the interpreter, of version 3.11 to 3.13.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv=.venv-tpu-compiler
requirements=tools/tpu/requirements-compiler.txt

if ! cmp -s $requirements $venv/installed.txt; then
  echo "Making $venv ..."
  rm -rf $venv
  "${PYTHON:-python3}" -m venv $venv
  $venv/bin/python -m pip install --no-input --disable-pip-version-check --quiet \
    --requirement $requirements
  cp $requirements $venv/installed.txt
fi
