#!/usr/bin/env bash
# Runs a command of perceptual on several workers of this machine, over loopback.
#
#   tools/launch_local.sh 2 train --gin_file=gin/runs/demo.gin --model_dir=runs/two
#
# Each worker gets TF_CONFIG and --distribution_strategy=multi_worker_mirrored. The output of the
# first is shown; that of the others goes to worker-1.log and so on, in the folder LOGS (by default
# the working directory). If one fails, the others end by themselves. SIGTERM and Ctrl-C ask all to
# save and stop. The exit status is that of the first; unless that failed, all have ended.
set -euo pipefail

if [[ ! ${1:-} =~ ^[1-9][0-9]?$ || $# -lt 2 ]]; then
  echo "usage: tools/launch_local.sh WORKERS COMMAND [--flag=value ...], with 1 to 99 workers" >&2
  exit 2
fi
count=$1
shift
python=${PYTHON:-python}
logs=${LOGS:-.}
for ((i = 1; i < count; i++)); do
  if ! { : >"$logs/worker-$i.log"; } 2>/dev/null; then
    echo "error: $logs/worker-$i.log cannot be written: LOGS must name a folder." >&2
    exit 1
  fi
done

addresses=$("$python" - "$count" <<'EOF'
import json, socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets:
  each.bind(("127.0.0.1", 0))
print(json.dumps([f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]))
EOF
)

start() {  # the worker of an index; all else are arguments
  TF_CONFIG="{\"cluster\": {\"worker\": $addresses}, \"task\": {\"type\": \"worker\", \"index\": $1}}" \
    exec "$python" -m perceptual "${@:2}" --distribution_strategy=multi_worker_mirrored
}

pids=()
for ((i = 1; i < count; i++)); do
  start "$i" "$@" >"$logs/worker-$i.log" 2>&1 &
  pids+=($!)
done
start 0 "$@" &
pids+=($!)
is_asked=0
trap 'is_asked=1; kill "${pids[@]}" 2>/dev/null' INT TERM
status=0
wait "${pids[-1]}" || status=$?
if ((is_asked)); then  # the trap has ended the wait: the workers are still saving
  status=0
  wait "${pids[-1]}" || status=$?
fi
if ((status == 0 || status == 75)); then  # done, or stopped on request: so are the others, soon
  wait
fi
exit "$status"
