#!/usr/bin/env bash
# Runs a command of perceptual on several workers of this machine; tools/launch_local.py says how.
#
#   tools/launch_local.sh 2 train --gin_file=gin/runs/demo.gin --model_dir=runs/two
set -euo pipefail

exec "${PYTHON:-python}" "$(dirname "${BASH_SOURCE[0]}")/launch_local.py" "$@"
