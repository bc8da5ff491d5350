"""State the memory that a run takes before it is started, and whether it fits.

The learner's weights, gradients, optimizer and passes, and the engine's weights and KV cache. Of the model
only its config.json is read. --gpu-memory answers for a GPU that this machine does not have.
"""

from __future__ import annotations

from scripts.arguments import Arguments
from scripts.exits import user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, add up, print; exit code 2 if it does not fit."""
    parser = Arguments(
        "memory", about=f"{__doc__}", example="stride memory smollm2 rollout.max_new_tokens=512 --gpu-memory 24"
    )
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or the name of a shipped config")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="config keys, dotted")
    parser.add_argument(
        "--gpu-memory", type=float, metavar="GIB", help="memory of a GPU; default: the device here"
    )
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="such GPUs in the machine (default 1)")
    arguments = parser.parse_intermixed_args(argv)
    if arguments.gpu_memory is not None and arguments.gpu_memory <= 0:
        parser.error(f"--gpu-memory is {arguments.gpu_memory:g}; give the GiB of a GPU, for example 24")
    if arguments.gpus < 1:
        parser.error(f"--gpus is {arguments.gpus}; give at least 1")
    with user_errors():
        from configs import load_config

        config = load_config(arguments.config, arguments.overrides)
        from rl.memory.fit import check_fit
        from rl.memory.preview import preview_memory

        size = None if arguments.gpu_memory is None else int(arguments.gpu_memory * 2**30)
        fit = preview_memory(config, gpu_bytes=size, gpus=arguments.gpus)
        print("\n".join(fit.lines()))
        check_fit(config, fit)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
