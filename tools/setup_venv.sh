#!/usr/bin/env bash
# Makes the virtual environment .venv at the root of the repository and installs the project in it.
#
#   tools/setup_venv.sh [--lowest | --tpu] [EXTRAS]     EXTRAS as in setup.py, for instance: test,all
#
# --lowest makes .venv-lowest instead, with the oldest versions that setup.py allows.
# --tpu makes .venv-tpu instead, for a Cloud TPU VM: tensorflow-tpu in the place of tensorflow.
# PYTHON=... chooses the interpreter. Once installed, another call does nothing until setup.py or
# requirements.lock change; a call that was interrupted is made good by the next one.
set -euo pipefail

venv=.venv
pythons=${PYTHON:-python3 python3.11 python3.12 python3.13 python}
if [ "${1:-}" = --lowest ]; then
  shift
  venv=.venv-lowest
  pythons=${PYTHON:-python3.11 python3.12 python3}  # the oldest versions were not built for later ones
elif [ "${1:-}" = --tpu ]; then
  shift
  venv=.venv-tpu
fi
extras=${1:-}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

available=$(sed -n 's/^        "\([a-z]*\)": .*/\1/p' setup.py)  # the extras' names, a line each
log=$venv/install.log
unfinished=$venv/.unfinished  # the process now installing: what pip leaves half done it cannot mend
installed=$venv/.installed    # what is installed: a line for the sources, then one for each extra

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
    grep -qx "$extra" <<<"$available" ||
      die "unknown extra '$extra'. Available: ${available//$'\n'/, }."
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
  case ",$extras," in
    *,all,*) printf '%s\n' $available | grep -vx test >>$installed ;;  # it brings the others
  esac
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
  echo $$ >$unfinished
  : >$log
  if [ $venv = .venv-lowest ]; then
    echo "Installing the oldest versions that setup.py allows ..."
    run_pip --no-deps --editable .
    $venv/bin/python tools/floors.py ${extras//,/ } >$venv/floors.txt
    lock=(--constraint $venv/floors.txt)
  elif [ "$(uname -sm)" = "Linux x86_64" ]; then
    lock=(--constraint requirements.lock)
    echo "Installing the versions of requirements.lock: a few minutes, 2 to 5 GB the first time ..."
  else
    echo "Installing within the ranges of setup.py (requirements.lock is for Linux on x86-64) ..."
  fi
  # In isolation, pip's default: tf-models-official needs seqeval, which is published as sources alone
  # and names its version with a tool that only an environment of its own build has. (An empty array
  # is "unbound" to the bash of macOS, hence the odd spelling.)
  run_pip ${lock[@]+"${lock[@]}"} --editable ".${extras:+[$extras]}"
  [ $venv != .venv-tpu ] || replace_tensorflow
  rm $unfinished
}

# Orbit and others ask for tensorflow by name, so pip cannot be asked for tensorflow-tpu instead; both
# at once would overwrite each other.
replace_tensorflow() {
  local version
  version=$($venv/bin/python -m pip show tensorflow 2>>$log | sed -n 's/^Version: //p')
  [ -n "$version" ] || return 0
  echo "Putting tensorflow-tpu $version in the place of tensorflow ..."
  $venv/bin/python -m pip uninstall --yes tensorflow tensorflow-tpu >>$log 2>&1 || fail
  run_pip --constraint requirements.lock "tensorflow-tpu==$version"
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
