"""What devices can do, for estimates of time: a few numbers each, and where they come from.

At 64x64 pixels no accelerator comes near its peak: one H200 trained the ResNet-50 at 25,400 images
a second, a twentieth of its peak in bfloat16. Accelerators that were not measured are assumed to
reach that part of theirs. Estimates of them are orders of magnitude.
"""

import dataclasses

_PART_OF_PEAK = 0.05


@dataclasses.dataclass(frozen=True)
class Device:
  """A device.

  Attributes:
    flops: floating-point operations that training or evaluation does in a second.
    image_seconds: seconds that an image costs besides: reading, augmentation, small operations.
    bytes: its memory; None for a host, whose memory is not known here.
    origin: where the numbers come from.
  """

  flops: float
  image_seconds: float
  bytes: int | None
  origin: str


def _assumed(peak, gigabytes):
  return Device(_PART_OF_PEAK * peak, 0.0, gigabytes * 10**9,
                f"assumed: {_PART_OF_PEAK:.0%} of the published {peak / 1e12:.0f} TFLOP/s (bfloat16)")


DEVICES = {
    "cpu": Device(75e9, 0.0005, None, "measured: 2 CPU cores, float32, runs of ResNets at 64x64"),
    "h200": Device(51e12, 0.0, 141 * 10**9,
                   "measured: one H200, ResNet-50 at 64x64 on JAX, bfloat16, batch 1024"),
    "h100": _assumed(989e12, 80),
    "a100": _assumed(312e12, 80),
    "v100": dataclasses.replace(
        _assumed(125e12, 16), origin="assumed: 5% of the published 125 TFLOP/s (float16)"),
    "tpu-v4": _assumed(275e12, 32),
    "tpu-v5e": _assumed(197e12, 16),
}
