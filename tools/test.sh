#!/usr/bin/env bash
# Lints the project and runs its tests, in .venv, which it makes if need be.
#
#   tools/test.sh [PYTEST ARGUMENTS]   what a change breaks most likely: 6 minutes on two cores
#   tools/test.sh --all [...]          everything, as continuous integration does: 19 minutes
#   tools/test.sh --lowest [...]       the core with the oldest versions that setup.py allows, in
#                                      .venv-lowest, on TensorFlow
#   tools/test.sh --tpu                every step of a tiny network compiled by the TPU's compiler, in
#                                      .venv-tpu-compiler; needs no TPU, some minutes
#
# Files that are named are run whole: tools/test.sh tests/evaluation/test_scores.py -k ties
# --all installs JAX, PyTorch and what an export is converted with, and runs their tests too. PyTorch's
# build for CPUs will do; docs/installing.md says how to get it.
# PERCEPTUAL_TESTDATA names a folder of published reference data; tests that need it skip without.
# The exit status is pytest's.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What the oldest versions could break: all that stands on Keras, NumPy, Pillow, SciPy, Matplotlib.
core=(tests/metrics tests/comparison tests/data/images tests/data/test_distortions.py
  tests/data/labelled/test_demo.py tests/models/test_preprocessing.py tests/models/test_resizing.py
  tests/models/test_taps.py tests/models/test_wrapping.py tests/weights/test_conversion.py
  tests/evaluation/test_scores.py tests/evaluation/test_correlations.py tests/test_loading.py
  tests/test_losses.py)

main() {
  case "${1:-}" in
    --all)
      tools/setup_venv.sh test,all
      lint
      run_tests .venv "${@:2}" ;;
    --lowest)
      tools/setup_venv.sh --lowest hub,demo,report,test
      run_tests .venv-lowest -m "not slow" "${core[@]}" "${@:2}" ;;
    --tpu)
      tools/setup_venv.sh test,train
      tools/tpu/setup_compiler.sh
      compile_for_tpu ;;
    *)
      tools/setup_venv.sh test,train
      lint
      if names_a_file "$@"; then
        run_tests .venv "$@"
      else
        echo "(Without the slow tests and those of JAX, PyTorch and conversions: --all has them.)"
        run_tests .venv -m "not slow" "$@"
      fi ;;
  esac
}

lint() {
  echo "Linting ..."
  .venv/bin/python -m ruff check --quiet .
}

compile_for_tpu() {
  local folder
  folder=$(mktemp -d)
  .venv/bin/python -m tools.tpu.campaign --folder="$folder" --network=resnet2 --strict
  rm -r "$folder"
}

names_a_file() {
  local argument
  for argument; do
    [ ! -e "${argument%%::*}" ] || return 0
  done
  return 1
}

run_tests() {
  echo "Testing ..."
  # Three workers on two cores: tests that start processes of their own wait for them.
  exec "$1/bin/python" -m pytest -n 3 --dist loadscope --no-loadscope-reorder "${@:2}"
}

main "$@"
