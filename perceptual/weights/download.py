"""Downloads a file over HTTP: resumed where it broke off, kept only if it is what was wanted."""

import http.client
import re
import urllib.error
import urllib.request

from perceptual import errors
from perceptual.common.progress import progress
from perceptual.version import __version__

PART = ".part"  # the suffix of what has come so far
_ATTEMPTS = 5  # within one call, of a transfer that breaks off
_TIMEOUT = 30  # seconds without a byte
_CHUNK = 2**18


def fetch(url, path, *, verify):
  """Downloads `url` to `path`, going on with what an earlier call has left in `path` + '.part'.

  Args:
    url: an `http://` or `https://` address.
    path: the file to write, a `pathlib.Path`; its folder is made if it is not there.
    verify: takes the path of the complete download; raises `UserError` if it is the wrong file,
      which is then removed.

  Raises:
    UserError: the server cannot be reached or refuses, the transfer keeps breaking off (what has
      come stays, for the next call), the file is wrong, or it cannot be written.
  """
  part = path.with_name(path.name + PART)
  try:
    if not any(_transferred(url, part) for _ in range(_ATTEMPTS)):
      raise errors.UserError(
          f"The download of {url} broke off after {part.stat().st_size:,} bytes, which are kept: "
          "give the command again to go on.")
    try:
      verify(part)
    except errors.UserError:
      part.unlink()
      raise
    part.replace(path)
  except OSError as error:
    raise errors.UserError(
        f"{part} cannot be written: {error.strerror or errors.first_line(error)}.") from None


def _transferred(url, part):
  """Appends to `part` what is missing of it; returns whether all of the file is there now."""
  have = part.stat().st_size if part.exists() else 0
  response = _response(url, have)
  if response is None:  # there is nothing after `have`: it is not the beginning of this file
    part.unlink()
    return False
  with response:
    start, total = _extent(response, have)
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab" if start else "wb") as file, progress(
        description=f"downloading {url.rpartition('/')[2]}", total=total, initial=start,
        unit="byte") as bar:
      for chunk in _chunks(response):
        file.write(chunk)
        bar.update(len(chunk))
  return total is None or part.stat().st_size == total


def _response(url, have):
  """Returns the open response, from byte `have` on; None if the file is not longer than that."""
  headers = {"User-Agent": f"perceptual/{__version__}"}
  if have:
    headers["Range"] = f"bytes={have}-"
  try:
    return urllib.request.urlopen(
        urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
  except urllib.error.HTTPError as error:
    if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
      return None
    raise errors.UserError(
        f"{url} cannot be downloaded: HTTP {error.code} {error.reason}.") from None
  except (OSError, http.client.HTTPException) as error:
    reason = getattr(error, "reason", error)
    raise errors.UserError(f"{url} cannot be reached: {errors.first_line(reason)}.") from None


def _extent(response, have):
  """Returns (first byte, bytes of the whole file or None), as the headers of a response say."""
  whole = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
  if response.status == http.client.PARTIAL_CONTENT and whole and int(whole[1]) == have:
    return have, int(whole[2])
  length = response.headers.get("Content-Length")
  return 0, int(length) if length and length.isdigit() else None


def _chunks(response):
  """Yields what arrives; a broken connection ends it early, which the size shows."""
  try:
    while chunk := response.read(_CHUNK):
      yield chunk
  except (OSError, http.client.HTTPException):
    return
