"""What devices can do, for estimates of time: a few numbers each, and where they come from.

Time goes into operations and into the values that layers put out, which are written and read; on a
CPU, which prepares the next images as well, into each image besides. At 64x64 pixels values
dominate on accelerators: one H200 trained the ResNet-50 at 25,400 images a second, a twentieth of
its peak. Accelerators that were not measured are given half of their published peak, and time for
values in inverse proportion to their published bandwidth, from that H200. Estimates of them are
orders of magnitude.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Device:
  """A device.

  Attributes:
    flops: floating-point operations a second, where nothing else takes time.
    value_seconds: seconds that a value which a layer puts out costs in training, forward and back;
      evaluation costs a third.
    bytes: its memory; None for a host, whose memory is not known here.
    origin: where the numbers come from.
    image_seconds: seconds that a training image costs besides: its reading and augmentation, and
      its share of what is done once a step. 0 where another processor does that meanwhile.
  """

  flops: float
  value_seconds: float
  bytes: int | None
  origin: str
  image_seconds: float = 0.0


_H200_VALUE_SECONDS = 1.1e-11
_H200_BANDWIDTH = 4.8e12


def _assumed(peak, bandwidth, gigabytes, precision="bfloat16"):
  return Device(peak / 2, _H200_VALUE_SECONDS * _H200_BANDWIDTH / bandwidth, gigabytes * 10**9,
                f"assumed: half of the published {peak / 1e12:.0f} TFLOP/s ({precision}), "
                f"{bandwidth / 1e12:.1f} TB/s")


DEVICES = {
    # Fitted to runs of studies (docs/benchmarks.md, "Studies"). Steps alone, as "Networks" there
    # has them, are up to a third faster: a run does more, and not all of it on both cores.
    "cpu": Device(355e9, 1.0e-9, None,
                  "measured: two cores that multiply matrices at 504 GFLOP/s (docs/benchmarks.md); "
                  "of another CPU in proportion, see --peak_gflops", image_seconds=0.085e-3),
    "h200": Device(989e12 / 2, _H200_VALUE_SECONDS, 141 * 10**9,
                   "measured with ResNet-50 alone: one H200, JAX, bfloat16, batch 1024"),
    "h100": _assumed(989e12, 3.35e12, 80),
    "a100": _assumed(312e12, 2.0e12, 80),
    "v100": _assumed(125e12, 0.9e12, 16, "float16"),
    "tpu-v4": _assumed(275e12, 1.2e12, 32),
    "tpu-v5e": _assumed(197e12, 0.82e12, 16),
    "tpu-v5p": _assumed(459e12, 2.77e12, 95),
    "tpu-v6e": _assumed(918e12, 1.64e12, 32),
}
MEASURED_CPU_PEAK = 504e9  # of the CPU above, in matrix products


def device(name, cpu_peak=None):
  """Returns a `Device`; of the CPU one as fast as its peak in matrix products says.

  Args:
    name: one of `DEVICES`.
    cpu_peak: floating-point operations a second of a matrix product on the CPU, as
      `python -m tools.benchmarks.networks` measures it; None for the measured CPU.
  """
  found = DEVICES[name]
  if name != "cpu" or cpu_peak is None:
    return found
  part = cpu_peak / MEASURED_CPU_PEAK
  return Device(part * found.flops, found.value_seconds / part, None,
                f"{found.origin.partition(';')[0]}, in proportion to {cpu_peak / 1e9:g} GFLOP/s",
                image_seconds=found.image_seconds / part)
