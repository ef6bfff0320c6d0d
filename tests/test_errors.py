"""What is quoted of the messages of others."""

import pytest

from perceptual import errors

_AT = '\n\nDetected at node A defined at (most recent call last):\n  File "a.py", line 1, in f\n\n'


@pytest.mark.parametrize(("text", "line"), [
    ("first\nsecond", "first"),
    ("\n  \n", "ValueError"),
    ("Exception encountered when calling Dense.call().\n\n\x1b[1mbad shape\x1b[0m\n", "bad shape"),
    ("{{function_node __wrapped__A_device_/job:localhost/replica:0/task:0/device:CPU:0}} /a; Full",
     "/a; Full"),
    (f"Graph execution error:{_AT}bad : Tensor had Inf values\n\t [[{{{{node A}}}}]]",
     "bad : Tensor had Inf values"),
    (f"Graph execution error:{_AT}2 root error(s) found.\n  (0) UNAVAILABLE: Socket closed\n\t [[",
     "Socket closed"),
    (f"Graph execution error:{_AT}  (0) ABORTED:  {{{{node A}}}} gone\n", "gone"),
    ('Graph execution error:\n\nFile "x.csv" is damaged', 'File "x.csv" is damaged'),
    ("{{node A}}", "ValueError"),
    ("Graph execution error:", "ValueError")])
def test_the_first_line_that_says_what_happened(text, line):
  assert errors.first_line(ValueError(text)) == line


def test_an_error_within_a_graph_is_told_by_what_happened():
  tf = pytest.importorskip("tensorflow")
  divide = tf.function(lambda x: tf.debugging.check_numerics(1.0 / x, "divided"))
  with pytest.raises(tf.errors.InvalidArgumentError) as caught:
    divide(tf.constant(0.0))
  assert errors.first_line(caught.value) == "divided : Tensor had Inf values"
