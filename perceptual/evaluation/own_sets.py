"""What commands call a set that `perceptual prepare judged` wrote: `judged/NAME`, with its view.

`judged/NAME:image_size=64,crop=48` asks for one; `judged/NAME at 64 pixels, cropped to 48` is what
tables call its scores.
"""

PREFIX = "judged/"


def is_own(dataset):
  """Whether a name is that of such a set; others are `judged_sets.DATASETS`."""
  return dataset.startswith(PREFIX)


def title(dataset):
  """Returns what tables call the scores of `judged/NAME:image_size=N,crop=N`."""
  name, view = viewed(dataset)
  return f"{PREFIX}{name}{' ' if str(view) else ''}{view}"


def viewed(dataset, **sizes):
  """Returns the name of a set and the `View` of its images.

  Args:
    dataset: `judged/NAME`, or `judged/NAME:image_size=N,crop=N`.
    **sizes: `image_size` and `crop` of a set that does not say its own.

  Raises:
    UserError: an option that sets do not have, or of a wrong value.
  """
  from perceptual.data.images.view import View
  from perceptual.metrics import options

  source, texts = options.split(dataset.removeprefix(PREFIX))
  own = options.read(dataset, texts, {"image_size": options.INTEGER, "crop": options.INTEGER})
  return source, View(**{**sizes, **own})
