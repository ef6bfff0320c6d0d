"""The package `perceptual`: `pip install .`, or `tools/setup_venv.sh` for the environment `.venv`.

The ranges below begin at the versions the project is tested with, which `requirements.lock` pins,
and end before the next version that may break something.
"""

import pathlib
import re

import setuptools

_ROOT = pathlib.Path(__file__).parent
_VERSION = re.search(
    r'__version__ = "(.+)"', (_ROOT / "perceptual" / "version.py").read_text("utf-8")).group(1)


def _gin_files():
  """The gin files by folder, so that an installed package finds its models, recipes and runs."""
  files = sorted(path.relative_to(_ROOT) for path in (_ROOT / "gin").rglob("*.gin"))
  folders = sorted({file.parent for file in files})
  return [
      (f"share/perceptual/{folder.as_posix()}",
       [file.as_posix() for file in files if file.parent == folder])
      for folder in folders]


setuptools.setup(
    name="perceptual",
    version=_VERSION,
    description="Perceptual metrics from image classifiers: train, score, export and use them",
    long_description=(_ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
    keywords="perceptual similarity, LPIPS, 2AFC, image quality, TensorFlow, Keras",
    packages=setuptools.find_packages(include=["perceptual", "perceptual.*"]),
    package_data={"perceptual.metrics.bundled": ["*.npz", "*.json", "*.md"]},
    data_files=_gin_files(),
    entry_points={"console_scripts": ["perceptual = perceptual.commands.cli:main"]},
    python_requires=">=3.11,<3.14",
    install_requires=[
        "absl-py>=1.4,<3",
        "gin-config>=0.5,<0.6",
        "h5py>=3.16,<4",
        "importlib_resources>=7,<8",  # tensorflow-datasets needs it and does not say so
        "keras>=3.15,<3.16",  # checkpoint keys hold names private to Keras
        "matplotlib>=3.11,<4",
        "numpy>=2.4,<3",
        "pillow>=13,<14",
        "scikit-image>=0.26,<0.27",  # this and the next ship the demo's photographs
        "scikit-learn>=1.9,<2",
        "scipy>=1.17,<2",
        "setuptools>=70.1,<81",  # tensorflow-hub needs pkg_resources, gone from 81 on
        "tensorflow>=2.20,<2.21",
        "tensorflow-datasets>=4.9.10,<5",
        "tensorflow-hub>=0.16.1,<0.17",
        "tf-models-official>=2.20,<2.21",  # orbit, distribution strategies, AutoAugment
        "threadpoolctl>=3.6,<4",
        "tqdm>=4.70,<5",
    ],
    extras_require={
        "backends": [  # Keras's other backends
            "jax>=0.10.2,<0.11",
            "jaxlib>=0.10.2,<0.11",
            "torch>=2.13,<3",
        ],
        "export": [  # what turns a SavedModel into something else, and what runs or serves that
            "ai-edge-litert>=2.3,<3",
            "onnx>=1.23,<2",
            "onnxruntime>=1.32,<2",
            "tensorflow-serving-api>=2.20,<2.21",
            "tf2onnx>=1.17,<2",
        ],
        "test": [
            "pytest>=9.2,<10",
            "pytest-xdist>=3.8,<4",
            "ruff>=0.17,<0.18",
        ],
    },
)
