"""`python -m perceptual` is the console script `perceptual`."""

from perceptual.commands import cli

if __name__ == "__main__":
  cli.main()
