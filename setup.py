"""The package `perceptual`: `pip install .`, or `tools/setup_venv.sh` for the environment `.venv`.

`pip install perceptual` brings what measuring two images needs beside a backend of Keras, which is
the user's own or comes with an extra. All else comes with the other extras.
"""

import pathlib
import re

import setuptools

_ROOT = pathlib.Path(__file__).parent
_VERSION = re.search(
    r'__version__ = "(.+)"', (_ROOT / "perceptual" / "version.py").read_text("utf-8")).group(1)

# Floors are the oldest versions that pass. `tools/test.sh --lowest` proves those of the core and of
# the extras tensorflow, hub, demo and report; those of jax and torch were tried by hand; that of
# onnxruntime (1.20) was not tried. What train and export add begins at the versions of
# requirements.lock. Caps are the next major version, or say why.

_CORE = [
    "absl-py>=1.4,<3",
    "h5py>=3.11,<4",
    "keras>=3.10,<4",
    "numpy>=2.0.2,<3",
    "pillow>=11.3,<14",  # the first that reads AVIF
    "tqdm>=4.66.3,<5",
]

_TENSORFLOW = ["tensorflow>=2.18,<3"]
_JAX = ["jax>=0.4.34,<1"]
_TORCH = ["torch>=2.6,<3"]
_ONNXRUNTIME = ["onnxruntime>=1.20,<2"]
_SCIPY = ["scipy>=1.13.1,<2"]
_REPORT = [  # pages and figures, fits of opinions, labels that come as Excel files
    *_SCIPY,
    "matplotlib>=3.9.2,<4",
    "openpyxl>=3.1.5,<4",
]
_DEMO = [  # the embedded photographs, their distortions, and k-means features of them
    "scikit-image>=0.24,<0.27",  # this and the next ship the photographs, whose list is exact
    "scikit-learn>=1.5.1,<2",
    *_SCIPY,
    "threadpoolctl>=3.5,<4",
]
_HUB = [
    *_TENSORFLOW,
    "setuptools<81",  # TensorFlow Hub imports pkg_resources, gone from 81 on
    "tensorflow-hub>=0.16.1,<1",
]
_TRAIN = [
    *_HUB,  # tf-models-official brings TensorFlow Hub
    *_DEMO,
    *_REPORT,
    "etils[epath]>=1.15,<2",  # paths at addresses, which TensorFlow Datasets requires too
    "gin-config>=0.5,<0.6",  # names private to gin find bindings without effect
    "importlib_resources>=7,<8",  # TensorFlow Datasets imports it and does not require it
    "keras<3.16",  # the keys of checkpoints hold names private to Keras
    "pyarrow>=18,<27",  # the collected table of a study as Parquet
    "tensorflow-datasets>=4.9.10,<5",
    "tf-models-official>=2.20,<3",  # orbit, strategies, AutoAugment; it pins its own TensorFlow
]
_EXPORT = [  # what converts a SavedModel, and what runs or serves the result
    *_TENSORFLOW,
    *_ONNXRUNTIME,
    "ai-edge-litert>=2.3,<3",
    "onnx>=1.23,<2",
    "tensorflow-serving-api>=2.20,<3",
    "tf2onnx>=1.17,<2",
]


def _gin_packages():
  """The folders of gin files as parts of the package, `gin/runs` as `perceptual.gin.runs`."""
  folders = sorted({path.parent.relative_to(_ROOT) for path in (_ROOT / "gin").rglob("*.gin")})
  return [".".join(["perceptual", *folder.parts]) for folder in folders]


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
    packages=[
        *setuptools.find_packages(include=["perceptual", "perceptual.*"]), *_gin_packages()],
    # In a wheel gin/ lies inside the package, where `importlib.resources` finds it.
    package_dir={"perceptual.gin": "gin"},
    package_data={
        "perceptual.metrics": ["onnx/*.onnx"],
        "perceptual.metrics.bundled": ["*.npz", "*.json", "*.md"],
        "perceptual.studies": ["tpu_costs.csv"],
        **{name: ["*.gin"] for name in _gin_packages()},
    },
    entry_points={"console_scripts": ["perceptual = perceptual.commands.cli:main"]},
    python_requires=">=3.11,<3.14",
    install_requires=_CORE,
    extras_require={
        "tensorflow": _TENSORFLOW,
        "jax": _JAX,
        "torch": _TORCH,
        "onnxruntime": _ONNXRUNTIME,
        "report": _REPORT,
        "demo": _DEMO,
        "hub": _HUB,
        "train": _TRAIN,
        "export": _EXPORT,
        "all": sorted({*_TRAIN, *_EXPORT, *_JAX, *_TORCH}),
        "test": [
            "cryptography>=50,<51",  # the certificate of the bucket that stands in for gs://
            "kubernetes-validate>=1.37,<2",  # the schemas that job files are held against
            "packaging>=24",
            "pytest>=9.2,<10",
            "pytest-xdist>=3.8,<4",
            "ruff>=0.17,<0.18",  # another one finds other things
            "simple-slurm>=0.3.6,<0.4",  # the names of sbatch's options
        ],
    },
)
