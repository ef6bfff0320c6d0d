#!/usr/bin/env bash
# Makes the virtual environment .venv at the root of the repository and installs the project in it.
#
#   tools/setup_venv.sh [EXTRAS]     EXTRAS as in setup.py, for instance: test,export,backends
#
# PYTHON=... chooses the interpreter. Once installed, another call does nothing until setup.py or
# requirements.lock change; a call that was interrupted is made good by the next one.
set -euo pipefail

extras=${1:-}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
log=$venv/install.log
unfinished=$venv/.unfinished  # the process now installing: what pip leaves half done it cannot mend
installed=$venv/.installed    # what is installed: a line for the sources, then one for each extra
pythons=${PYTHON:-python3 python3.11 python3.12 python3.13 python}

main() {
  check_extras
  check_unfinished
  if ! is_installed; then
    make_venv
    install
    record
  fi
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

check_extras() {
  local extra
  for extra in ${extras//,/ }; do
    case $extra in
      test | export | backends) ;;
      *) die "unknown extra '$extra'. Available: test, export, backends." ;;
    esac
  done
}

check_unfinished() {
  [ -e $unfinished ] || return 0
  if kill -0 "$(cat $unfinished)" 2>/dev/null; then
    die "process $(cat $unfinished) is installing into $venv: wait for it."
  fi
  echo "An earlier installation was interrupted: beginning again."
  rm -rf $venv
}

# What the installation depends on, in one word; the folder, because an editable install names it.
sources() {
  { cat setup.py requirements.lock; pwd; } | cksum | tr -d ' '
}

is_installed() {
  local extra
  [ -x $venv/bin/python ] && [ -e $installed ] && [ "$(head -n 1 $installed)" = "$(sources)" ] ||
    return 1
  for extra in ${extras//,/ }; do
    grep -qx "$extra" $installed || return 1
  done
}

record() {
  if ! [ -e $installed ] || [ "$(head -n 1 $installed)" != "$(sources)" ]; then
    sources >$installed
  fi
  printf '%s\n' ${extras//,/ } >>$installed
}

is_suitable() {
  "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
    2>/dev/null
}

make_venv() {
  local python
  if ! [ -d $venv ] || ! $venv/bin/python -m pip --version >/dev/null 2>&1; then
    for python in $pythons; do
      if is_suitable "$python"; then
        echo "Making $venv with $("$python" --version) ($python) ..."
        rm -rf $venv
        mkdir $venv
        echo $$ >$unfinished
        "$python" -m venv $venv
        return
      fi
    done
    die "no Python 3.11, 3.12 or 3.13 with its venv module among: $pythons." \
      "(Debian, Ubuntu: apt-get install python3 python3-venv. Another one: PYTHON=/its/path.)"
  fi
}

install() {
  local lock=()
  if [ "$(uname -sm)" = "Linux x86_64" ]; then
    lock=(--constraint requirements.lock)
    echo "Installing the versions of requirements.lock: a few minutes, 3.5 to 4.5 GB the first time ..."
  else
    echo "Installing within the ranges of setup.py (requirements.lock is for Linux on x86-64) ..."
  fi
  echo $$ >$unfinished
  : >$log
  # In isolation, pip's default: tf-models-official needs seqeval, which is published as sources alone
  # and names its version with a tool that only an environment of its own build has. (An empty array
  # is "unbound" to the bash of macOS, hence the odd spelling.)
  run_pip ${lock[@]+"${lock[@]}"} --editable ".${extras:+[$extras]}"
  rm $unfinished
}

# Runs pip install with all that it prints in the log, and on the screen only how far it has come.
# Modules are compiled when they are first imported, not all of them now: most never are.
run_pip() {
  $venv/bin/python -m pip install --no-input --disable-pip-version-check --no-compile "$@" 2>&1 |
    tee -a $log | show_progress || fail
}

show_progress() {
  local line count=0
  while IFS= read -r line; do
    case $line in
      Collecting* | Processing*)
        count=$((count + 1))
        [ $((count % 25)) -ne 0 ] || echo "  $count packages found" ;;
      "Installing collected packages"*)
        [ $count -lt 25 ] || echo "  $count packages found; unpacking them ..." ;;
    esac
  done
}

fail() {
  rm -f $unfinished
  grep -v "is ignored" $log | tail -n 12 >&2
  die "pip failed (see above; all that it said is in $log)."
}

main
