"""Compiles a lowered step by the TPU's own compiler, on a machine without a TPU.

    .venv-tpu-compiler/bin/python tools/tpu/compiled.py STEP.hlo [--chip=v5e] [--result=FILE.json]

Runs in the environment of `tools/tpu/setup_compiler.sh`, which has JAX and libtpu and neither
TensorFlow nor this project: it imports nothing of either. Prints, and writes, plain data: whether
the step compiles, the bytes that it needs on the chip, FLOPs, bytes accessed; or why it does not.

JAX has no public way to compile a module that it did not trace itself, so private names of it are
used, in this file alone; `requirements-compiler.txt` pins the version that has them.
"""

import argparse
import json
import os
import pathlib
import re
import time

# Names of a topology: chips of one host, the fewest that the compiler has.
TOPOLOGIES = {"v4": "v4:2x2x1", "v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}
# libtpu asks the metadata of a Google machine for its place, unless it is told.
_ENVIRONMENT = {"TPU_SKIP_MDS_QUERY": "1", "JAX_PLATFORMS": "cpu", "TPU_WORKER_ID": "0",
                "TPU_WORKER_HOSTNAMES": "localhost", "TPU_ACCELERATOR_TYPE": "v5litepod-1"}
# TensorFlow copies what a step returns; StableHLO has no such operation. The barrier is one that
# changes nothing either.
_COPIES = ((r"mhlo\.copy (%\S+) : ", r"stablehlo.optimization_barrier \1 : "),
           (r'"mhlo\.copy"\((%\w+)\)(?: \{[^}]*\})? : \((\S+)\) -> (\S+)',
            r"stablehlo.optimization_barrier \1 : \2"))


def main():
  """Compiles one program."""
  options = _options()
  result = compiled(pathlib.Path(options.program).read_bytes(), options.chip)
  text = json.dumps({"chip": options.chip, **result}, indent=2)
  print(text)
  if options.result:
    beside = pathlib.Path(f"{options.result}.partial")
    beside.write_text(text + "\n", "utf-8")
    beside.rename(options.result)


def compiled(program, chip):
  """Returns what came of compiling a serialized HLO module for a chip, plain data."""
  for name, value in _ENVIRONMENT.items():
    os.environ.setdefault(name, value)
  import jax
  from jax._src import compiler
  from jax._src.lib import xla_client
  from jax.experimental import topologies

  topology = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[chip])
  device = topology.devices[0]
  start = time.monotonic()
  try:
    executable = device.client.compile(
        _module(program), xla_client.DeviceList((device,)),
        compiler.get_compile_options(num_replicas=1, num_partitions=1))
  except jax.errors.JaxRuntimeError as error:
    return {"compiles": False, "error": str(error)[:4000],
            "seconds": round(time.monotonic() - start, 1)}
  memory, costs = executable.get_compiled_memory_stats(), executable.cost_analysis()
  costs = costs[0] if isinstance(costs, list) else costs
  return {
      "compiles": True, "device": device.device_kind,
      "seconds": round(time.monotonic() - start, 1),
      "argument_bytes": memory.argument_size_in_bytes,
      "temporary_bytes": memory.temp_size_in_bytes,
      "output_bytes": memory.output_size_in_bytes,
      "code_bytes": memory.generated_code_size_in_bytes,
      "flops": costs["flops"], "bytes_accessed": costs["bytes accessed"]}


def _module(program):
  """Returns a serialized HLO module as one of StableHLO, which the compiler takes."""
  from jax._src.interpreters import mlir
  from jax._src.lib import _jax
  from jax._src.lib.mlir import ir

  with mlir.make_ir_context():
    text = str(ir.Module.parse(_jax.mlir.hlo_to_stablehlo(program)))
    for copy, barrier in _COPIES:
      text = re.sub(copy, barrier, text)
    return ir.Module.parse(text)


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("program", help="as tools.tpu.lowered writes it")
  parser.add_argument("--chip", default="v5e", choices=TOPOLOGIES)
  parser.add_argument("--result", help="a JSON file to write")
  return parser.parse_args()


if __name__ == "__main__":
  main()
