"""Steps as they go to a TPU: lowered for XLA, with static shapes and nothing that a chip lacks.

That the TPU's compiler takes them is shown by `tools/test.sh --tpu`.
"""

import re

import pytest

from tools.tpu import lowered, recipes


@pytest.fixture(scope="module")
def programs():
  """Every step of a tiny network as the text of an XLA program, and what it is."""
  recipe = recipes.of("resnet2")
  narrow = recipes.Recipe("resnet2", recipe.files, ("network.width = 0.1",), 64)
  return {step: (program, about) for step, program, about in lowered.lowered(
      narrow, lowered.STEPS, 128, stage="hlo")}


@pytest.mark.parametrize("step", lowered.STEPS)
def test_a_step_is_static_and_stays_on_the_chip(programs, step):
  program, _ = programs[step]
  assert not re.search(r"\[[^\]]*<=", program), "a size that is known only as it runs"
  for absent in ("f64[", "c128[", "custom-call", "infeed", "outfeed", "send(", "recv("):
    assert absent not in program, absent


def test_activations_of_classifiers_are_bfloat16_and_weights_float32(programs):
  for step in ("train", "judge", "evaluate"):
    assert "bf16[" in programs[step][0], step
  assert "bf16[" not in programs["learn"][0]
  _, _, main = programs["train"][0].partition("\nENTRY ")
  given = set(re.findall(r" = (\w+)\[[\d,]*\]\S* parameter\(", main))
  assert "f32" in given and "bf16" not in given


def test_batches_are_those_of_one_core(programs):
  assert {step: (about["batch"], about["cores"]) for step, (_, about) in programs.items()} == {
      "train": (128, 8), "evaluate": (32, 8), "judge": (32, 8), "learn": (50, 1)}
