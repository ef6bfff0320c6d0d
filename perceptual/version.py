"""The version, in one place: `setup.py`, `perceptual --version` and fingerprints read it here."""

__version__ = "0.1.0"
