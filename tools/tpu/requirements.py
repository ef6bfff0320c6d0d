"""Prints what extras of setup.py require, with tensorflow-tpu in the place of tensorflow.

    python tools/tpu/requirements.py train,export

On a Cloud TPU VM TensorFlow is the package `tensorflow-tpu`. Orbit, TensorFlow Hub and others ask
for `tensorflow` by name, and pip, which has no way to replace a requirement, would install both,
one over the other. So pip works out what is required without installing it, by the versions of
requirements.lock; the list, with the one package replaced, is then installed as it is
(`pip install --no-deps`). `tools/setup_venv.sh --tpu` does both.
"""

import json
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[2]


def main():
  """Prints the requirements of the extras that are named."""
  extras = sys.argv[1] if len(sys.argv) > 1 else ""
  print("\n".join(for_tpu(required, f".[{extras}]" if extras else ".")))


def for_tpu(resolve, package):
  """Returns lines such as `name==version`, in the order of the alphabet.

  Args:
    resolve: takes a requirement, and returns all that it requires, itself included:
      `{name: version}`.
    package: the requirement of the project itself.
  """
  found = resolve(package)
  found.pop("perceptual")
  version = found.pop("tensorflow", None)
  if version is not None:
    found = {**resolve(f"tensorflow-tpu=={version}"), **found}
  return [f"{name}=={found[name]}" for name in sorted(found)]


def required(requirement):
  """Returns what pip would install for a requirement by the versions of requirements.lock."""
  process = subprocess.run(
      [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
       "--disable-pip-version-check", "--report=-", "--constraint=requirements.lock", requirement],
      cwd=_ROOT, check=True, stdout=subprocess.PIPE)
  packages = [item["metadata"] for item in json.loads(process.stdout)["install"]]
  return {package["name"].lower(): package["version"] for package in packages}


if __name__ == "__main__":
  main()
