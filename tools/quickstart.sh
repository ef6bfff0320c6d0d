#!/usr/bin/env bash
# The main job, from nothing: makes .venv, then trains a small ResNet on the embedded photographs,
# scores its features, exports them as a metric, loads it through TF Hub and compares two images.
#
#   tools/quickstart.sh [FOLDER]     FOLDER of the results; by default runs/quickstart
#
# Needs nothing but Python and the package index; takes less than ten minutes on two cores. Given
# again, it goes on where it was, and repeats only what is quick.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:-runs/quickstart}

step() {
  printf '\n== %s\n' "$1"
}

run() {
  printf '$ %s\n' "$*"
  ".venv/bin/$1" "${@:2}"
}

step "1 of 5: the environment .venv"
tools/setup_venv.sh train

step "2 of 5: train ResNet-6 on crops of 17 photographs, scoring its features as it learns"
run perceptual train --gin_file=gin/runs/demo.gin --model_dir="$folder"

step "3 of 5: score the features kept at the best score, beside two baselines"
run perceptual evaluate --model_dir="$folder" --dataset=graded --output_dir="$folder/graded"

step "4 of 5: export them as a metric, one SavedModel"
run perceptual export --model_dir="$folder" --export_dir="$folder/metric" --overwrite

step "5 of 5: load it with TensorFlow Hub alone, and compare a photograph with two changed ones"
run python tools/example_images.py "$folder/images"
run python tools/compare_with_hub.py "$folder/metric" \
  "$folder"/images/{reference,shifted,blurred}.png

step "Done"
# Of the tables in scores.txt the first one, up to the line on its intervals.
sed '/^±/q' "$folder/graded/scores.txt"
cat <<END

  $folder/training.png       accuracy and perceptual score over training steps
  $folder/graded/scores.txt  every tap, family and pair of families (also .csv, .json)
  $folder/metric             the metric: hub.load('$folder/metric')(reference, candidate)

Next:
  .venv/bin/perceptual compare --metric=$folder/metric REFERENCE.png CANDIDATE.png ...
  .venv/bin/perceptual --help
  README.md: your own photographs, ImageNet at 64x64, BAPPS
END
