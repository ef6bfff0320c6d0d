"""Lines of a log: whole, with time and level, as text and as JSON."""

import io
import json
import re

from perceptual.commands import log_lines

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"


def _written(as_json, *texts):
  stream = io.StringIO()
  lines = log_lines.LogLines(stream, as_json)
  for text in texts:
    lines.write(text)
  return stream.getvalue().splitlines()


def test_lines_have_their_time_and_level():
  lines = _written(
      False, "step 2", "/4  loss 1\n  warning: few\nerr", "or: bad\n\n\rfailed: run 3\nhalf")
  assert [re.sub(_TIME, "T", line) for line in lines] == [
      "T INFO step 2/4  loss 1", "T WARNING few", "T ERROR bad", "T ERROR run 3"]


def test_as_json_a_line_is_an_object():
  line, = _written(True, 'a "quoted" ü\n')
  about = json.loads(line)
  assert re.fullmatch(_TIME, about.pop("time"))
  assert about == {"level": "INFO", "message": 'a "quoted" ü'}
