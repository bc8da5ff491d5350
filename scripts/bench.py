"""Compare what Stride does with what a user could take instead, on this machine.

python scripts/bench.py rollout                          # all workloads, about an hour
python scripts/bench.py rollout --models 1m --samples 128 --workloads skewed --json bench.json

Every contestant works in this process, in turn, on the same model, prompts and lengths. Ratios within one
round are worth more than figures: keep the machine free of anything else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, run, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rollout"], help="rollout: sampling alone")
    parser.add_argument("--models", nargs="+", choices=["1m", "6m", "30m"], default=["1m", "6m", "30m"])
    parser.add_argument("--workloads", nargs="+", choices=["equal", "skewed"], default=["equal", "skewed"])
    parser.add_argument("--samples", nargs="+", type=int, default=[64, 128, 256], help="in groups of 8")
    parser.add_argument("--mean", type=int, default=64, help="new tokens of a sample")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt, give or take a quarter")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    arguments = parser.parse_args(argv)
    if bad := [samples for samples in arguments.samples if samples < 8 or samples % 8]:
        parser.error(f"--samples are multiples of 8, got {bad[0]}")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # before torch: threads started later see it, too

    import torch

    from rl.bench_rollout import CONTESTANTS, floor, make_bench_model, make_workload, race
    from rl.table import aligned

    torch.set_num_threads(arguments.threads)
    rows = [["model", "workload", "samples", "contestant", "tokens/s", "spread", "Stride is", "of the floor"]]
    kept = []
    for name in arguments.models:
        model = make_bench_model(name)
        for kind in arguments.workloads:
            for samples in arguments.samples:
                workload = make_workload(
                    kind, samples=samples, mean=arguments.mean, prompt_tokens=arguments.prompt
                )
                print(f"{name} {kind} {samples}", file=sys.stderr)
                timings = race(
                    model,
                    workload,
                    list(CONTESTANTS),
                    rounds=arguments.rounds,
                    threads=arguments.threads,
                    say=lambda line: print(f"  {line}", file=sys.stderr, flush=True),
                )
                limit = floor(model, workload)
                for timing in timings:
                    rows.append(
                        [
                            *(name, kind, str(samples), timing.name),
                            *(f"{timing.median:,.0f}", f"{timing.spread:.0%}"),
                            "" if timing is timings[0] else f"{timings[0].median / timing.median:.2f} x",
                            f"{timing.median / limit:.0%}",
                        ]
                    )
                    kept.append(
                        {
                            **{"model": name, "workload": kind, "samples": samples, "contestant": timing.name},
                            **{"tokens_per_s": timing.tokens_per_s, "floor": limit},
                        }
                    )
    print(aligned(rows, num_left=4))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"threads": arguments.threads, "rollout": kept}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
