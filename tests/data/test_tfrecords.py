"""TFRecord files read without TensorFlow: what TensorFlow wrote, and what somebody damaged."""

import numpy as np
import pytest
import tensorflow as tf

from perceptual.data import tfrecords
from perceptual.errors import UserError


@pytest.mark.parametrize(("data", "crc"), [  # RFC 3720, B.4; the last is the usual check value
    (b"", 0), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C), (b"123456789", 0xE3069283)])
def test_checksums_are_those_of_the_standard(data, crc):
  assert tfrecords.crc32c(data) == crc


def test_the_checksum_of_blocks_is_that_of_the_whole(monkeypatch):
  data = np.random.default_rng(0).bytes(1000)
  whole = tfrecords.crc32c(data)
  for block in (1, 7, 64, 999):
    monkeypatch.setattr(tfrecords, "_BLOCK", block)
    assert tfrecords.crc32c(data) == whole


@pytest.fixture
def written(tmp_path):
  """A file of three records, and what they are."""
  contents = [bytes(range(7)), b"", np.random.default_rng(0).bytes(1000)]
  with tf.io.TFRecordWriter(str(tmp_path / "three.tfrecord")) as writer:
    for content in contents:
      writer.write(content)
  return tmp_path / "three.tfrecord", contents


def test_records_are_those_that_were_written(written):
  path, contents = written
  assert list(tfrecords.records(path)) == contents


@pytest.mark.parametrize(("position", "number"), [
    (0, 0), (9, 0), (12, 0), (22, 0), (23, 1), (23 + 16 + 500, 2), (-1, 2)])
def test_a_changed_byte_is_found_and_its_record_named(written, position, number):
  path, _ = written
  data = bytearray(path.read_bytes())
  data[position] ^= 0x10
  path.write_bytes(data)
  with pytest.raises(UserError, match=f"{path} is damaged: record {number} does not match its ch"):
    list(tfrecords.records(path))


@pytest.mark.parametrize("left", [5, 12, 15, 23 + 16 + 12 + 999])
def test_a_file_cut_short_is_damaged(written, left):
  path, _ = written
  path.write_bytes(path.read_bytes()[:left])
  with pytest.raises(UserError, match=r"is damaged: record \d does not match"):
    list(tfrecords.records(path))


@pytest.mark.parametrize("length", [4, 2**36, 2**63])
def test_a_record_longer_than_its_file_is_not_read(tmp_path, length):
  path = tmp_path / "x.tfrecord"
  head = length.to_bytes(8, "little")
  path.write_bytes(head + tfrecords._checksum(head) + b"abc")
  with pytest.raises(UserError, match="is damaged: record 0 does not match"):
    list(tfrecords.records(path))


def test_a_file_that_is_not_there(tmp_path):
  with pytest.raises(UserError, match="none cannot be read: No such file or directory"):
    list(tfrecords.records(tmp_path / "none"))


def test_examples_are_those_of_tensorflow():
  def feature(kind, values):
    lists = {"bytes": tf.train.BytesList, "float": tf.train.FloatList, "int64": tf.train.Int64List}
    return tf.train.Feature(**{f"{kind}_list": lists[kind](value=values)})

  record = tf.train.Example(features=tf.train.Features(feature={
      "image": feature("bytes", [bytes(300), b"second"]), "judge": feature("float", [0.25, -1.5]),
      "label": feature("int64", [0, -1, 2**40]), "nothing": feature("bytes", [])}))
  found = tfrecords.example(record.SerializeToString())
  assert found["image"] == [bytes(300), b"second"] and found["nothing"] == []
  np.testing.assert_array_equal(found["judge"], np.float32([0.25, -1.5]))
  np.testing.assert_array_equal(found["label"], [0, -1, 2**40])
  assert (found["judge"].dtype, found["label"].dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("record", [
    b"\xff", b"\x0a\x05a", b"plain text", b"\x0d1234", b"\xff" * 10**6,
    b"\n\x16\n\x14\n\x01a\x12\x0f\x1a\r\n\x0b" + b"\xff" * 10 + b"\x01",  # an int64 of 71 bits
    b"\n\x13\n\x11\n\x01a\x12\x0c\x1a\n\n\x08" + b"\xff" * 8])
def test_something_else_is_no_example(record):
  with pytest.raises(ValueError, match=r"tf\.train\.Example|unpack"):
    tfrecords.example(record)
