"""Race Stride against transformers, vLLM and TRL on this machine.

`to_reward` takes the time from one warm start to the same reward, `prefix` the price of continuing a prefix,
`gpu` is everything that wants a GPU; they have options of their own (`stride bench to_reward --help`).

`rollout` is sampling alone (all workloads: about an hour), `update` the learner alone and `end_to_end` whole
GRPO updates (hours with all models). Every contestant runs in this process, in turn, on the same model, prompts
and lengths, and once more in its own process, where its memory is measured. Ratios are taken within a
round and mean more than absolute figures; keep the machine idle otherwise. vLLM takes part in `rollout` where
it is installed (`make install-vllm`, then .venv-vllm/bin/stride).
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from rl.bench.gpu.figure import Setting
from rl.bench.machine import describe_cpu
from rl.bench.models import MODELS, TRAINED
from rl.bench.to_reward.tasks import TASKS
from rollout.threads import let_threads_sleep
from scripts.arguments import Arguments


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, run, print tables."""
    words = sys.argv[1:] if argv is None else argv
    own = {"gpu": _gpu, "to_reward": _to_reward, "prefix": _prefix}.get(words[0]) if words else None
    return own(words[1:]) if own else _race(words)


def _gpu(argv: list[str]) -> int:
    """Everything that wants a GPU: one table, one JSON file; exit code 1 if a part failed or broke a bound."""
    from rl.bench.gpu.report import as_json, as_table
    from rl.bench.gpu.run import BUDGET_S, PARTS, run_parts

    parser = Arguments(
        "bench gpu",
        about="Everything that wants a GPU in one run: tests marked `gpu`, agreement of sampler and learner, "
        "speed and memory of a model of 0.5 B parameters, and a training of SmolLM2-135M.",
        example="stride bench gpu --json gpu.json",
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds for all parts (%(default)g)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to try the run itself on a CPU")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not _has_gpu():
        parser.error("torch sees no GPU; --device cpu --tiny tries the run itself")
    setting = Setting(device=arguments.device, tiny=arguments.tiny)
    results = run_parts(
        [part for part in PARTS if part in arguments.parts],
        setting,
        budget_s=arguments.budget,
        say=_say,
    )
    print(as_table(results))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(as_json(results, setting), indent=1) + "\n")
    return 0 if all(result.passed for result in results) else 1


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _to_reward(argv: list[str]) -> int:
    """From one warm start to the same sampled reward, beside stock TRL."""
    parser = Arguments(
        "bench to_reward",
        about="Seconds of training from one warm start to the same sampled reward: Stride beside stock TRL "
        "with its own generation. Both have the same weights, problems, rewards, loss, optimiser and limits; "
        "the target is a share of what Stride gains. Keep the machine idle otherwise.",
        example="stride bench to_reward --json to_reward.json --plot to_reward.svg",
    )
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), metavar="TASK")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--updates", type=int, help="updates of Stride; default: those of the task")
    parser.add_argument("--warm-updates", type=int, help="updates of the warm start; default: the task's")
    parser.add_argument("--learning-rate", type=float, help="of GRPO, for both; default: the task's")
    parser.add_argument("--share", type=float, default=0.8, help="target, of Stride's gain (%(default)g)")
    parser.add_argument("--every", type=int, default=4, help="updates between measurements (%(default)d)")
    parser.add_argument(
        "--judged-on", type=int, default=512, help="held-out problems of a measurement (%(default)d)"
    )
    parser.add_argument(
        "--patience", type=float, default=8, help="TRL's time, in those of Stride to the target (%(default)g)"
    )
    parser.add_argument("--trl-rows", type=int, default=8, help="rows of TRL's micro-batches (%(default)d)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=Path("runs/to_reward"), help="keeps the warm starts")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to try the benchmark itself")
    parser.add_argument("--json", type=Path, help="write curves and figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the curves: .svg, .png or .pdf")
    arguments = parser.parse_args(argv)
    if not 0 < arguments.share <= 1:
        parser.error(f"--share is {arguments.share:g}; it must be above 0 and at most 1")
    for option in ("every", "judged_on", "patience", "trl_rows", "threads"):
        if getattr(arguments, option) < 1:
            parser.error(
                f"--{option.replace('_', '-')} is {getattr(arguments, option):g}; it must be 1 or more"
            )
    if arguments.plot is not None and arguments.plot.suffix not in (".svg", ".png", ".pdf"):
        parser.error(f"--plot {arguments.plot}: end it in .svg, .png or .pdf")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # before torch, which reads it once
    let_threads_sleep()

    from rl.bench.to_reward.contest import Contest, run_duels
    from rl.bench.to_reward.report import as_json, as_table, plot

    settings = Contest(
        updates=arguments.updates,
        warm_updates=arguments.warm_updates,
        learning_rate=arguments.learning_rate,
        every=arguments.every,
        judged_on=arguments.judged_on,
        share=arguments.share,
        patience=arguments.patience,
        trl_rows=arguments.trl_rows,
        threads=arguments.threads,
        tiny=arguments.tiny,
    )
    duels = run_duels(arguments.tasks, arguments.seeds, settings, folder=arguments.folder, say=_say)
    print(as_table(duels, settings))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(as_json(duels, settings), indent=1) + "\n")
    if arguments.plot is not None:
        plot(duels, arguments.plot)
    return 0


def _prefix(argv: list[str]) -> int:
    """Continuations of a prefix beside as many samples of the remaining length."""
    parser = Arguments(
        "bench prefix",
        about="CPU time of k continuations of a prefix over that of k samples of the remaining length, in the "
        "embedded engine, and the part of it for reading the prefix; the rest is for attending to it. Time is "
        "that of this process alone, so others on the machine disturb it less.",
        example="stride bench prefix --model 1m --samples 32 --prefix 64 --new 64",
    )
    parser.add_argument("--model", choices=list(MODELS), default="1m")
    parser.add_argument("--samples", type=int, default=32, help="continuations of a prefix (%(default)d)")
    parser.add_argument("--prefix", type=int, default=64, help="tokens of a prefix (%(default)d)")
    parser.add_argument("--new", type=int, default=64, help="tokens sampled after it (%(default)d)")
    parser.add_argument("--groups", type=int, default=4, help="prefixes in a call (%(default)d)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    for option, value in vars(arguments).items():
        if isinstance(value, int) and value < 1:
            parser.error(f"--{option} is {value}; it must be 1 or more")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # before torch, which reads it once

    from rl.bench.prefix import price_of_prefixes

    prices = price_of_prefixes(
        arguments.model,
        samples=arguments.samples,
        prefix_tokens=arguments.prefix,
        new_tokens=arguments.new,
        groups=arguments.groups,
        rounds=arguments.rounds,
        threads=arguments.threads,
        say=_say,
    )
    ratios, reading = [each.ratio for each in prices], [each.reading for each in prices]
    print(
        f"{arguments.samples} continuations of {arguments.prefix} + {arguments.new} tokens take "
        f"{statistics.median(ratios):.3f} x ({min(ratios):.3f} to {max(ratios):.3f}) the CPU time of as many "
        f"samples of {arguments.new}, {statistics.median(reading):.3f} of it for reading the prefix; "
        f"{describe_cpu()}"
    )
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _race(argv: list[str]) -> int:
    parser = Arguments(
        "bench", about=f"{__doc__}", example="stride bench rollout --models 1m --samples 128 --workloads skewed"
    )
    parser.add_argument("what", choices=["rollout", "update", "end_to_end", "to_reward", "prefix", "gpu"])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=["1m", "6m", "30m"])
    parser.add_argument("--workloads", nargs="+", choices=["equal", "skewed"], default=["equal", "skewed"])
    parser.add_argument("--samples", nargs="+", type=int, default=[64, 128, 256], help="in groups of 8")
    parser.add_argument("--mean", type=int, default=64, help="new tokens of a sample")
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt, plus or minus a quarter")
    parser.add_argument("--rivals", nargs="+", metavar="NAME", help="only these contestants")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=1, help="updates of a round, after one to warm up")
    parser.add_argument(
        "--trl-rows", type=int, default=8, help="rows of TRL's micro-batches; fewer take less memory"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="for rollout")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="for rollout")
    parser.add_argument("--no-memory", action="store_true", help="leave out the runs that measure memory")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args(argv)
    if bad := [samples for samples in arguments.samples if samples < 8 or samples % 8]:
        parser.error(f"--samples are multiples of 8, got {bad[0]}")
    if bad := [samples for samples in arguments.samples if samples % min(samples, arguments.trl_rows)]:
        parser.error(f"--trl-rows is {arguments.trl_rows}, which does not divide --samples {bad[0]}")
    if arguments.what != "rollout" and (arguments.device, arguments.dtype) != ("cpu", "float32"):
        parser.error(f"--device and --dtype are for rollout; {arguments.what} learns in float32 on the CPU")
    if arguments.what != "rollout" and (bad_names := sorted(set(arguments.models) - set(TRAINED))):
        parser.error(f"--models {bad_names[0]} is for rollout; {arguments.what} takes {', '.join(TRAINED)}")
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # before torch, which reads it once

    import torch

    from rl.bench.floor import floor
    from rl.bench.race import peak_memory, race
    from rl.bench.rollout import rollout
    from rl.bench.update import end_to_end, update
    from rl.bench.workload import Case
    from rl.pages.text import text_table

    torch.set_num_threads(arguments.threads)
    enter = {"rollout": rollout, "update": update, "end_to_end": end_to_end}[arguments.what]
    unit = "tokens/s" if arguments.what == "rollout" else "updates/s"
    figures = []
    for name, kind, samples in itertools.product(arguments.models, arguments.workloads, arguments.samples):
        _say(f"{name} {kind} {samples}")
        case = Case(
            model=name,
            kind=kind,
            samples=samples,
            mean=arguments.mean,
            prompt_tokens=arguments.prompt,
            threads=arguments.threads,
            device=arguments.device,
            dtype=arguments.dtype,
            updates=arguments.updates,
            trl_rows=arguments.trl_rows,
        )
        contestants = enter(case)
        rivals = arguments.rivals or list(contestants)
        if unknown := sorted(set(rivals) - set(contestants)):
            parser.error(f"--rivals: no '{unknown[0]}' here; known: {', '.join(contestants)}")
        timings = race(
            {name: work for name, work in contestants.items() if name == "stride" or name in rivals},
            rounds=arguments.rounds,
            unit=unit,
            report=lambda line: _say(f"  {line}"),
        )
        model = case.make_model()
        limit = floor(model, case.make_workload()) if arguments.what == "rollout" else None
        for timing in timings:
            figure = {"model": name, "parameters": model.num_parameters(), "workload": kind, "samples": samples}
            figure |= {"contestant": timing.name, "per_s": timing.per_s, "spread": timing.spread}
            figure |= {"stride_is": timings[0].ratios(timing)}
            figure |= (
                {"of_the_floor": timing.median / limit} if limit else {"useful": timing.laps[0].useful_frac}
            )
            if not arguments.no_memory:
                memory = peak_memory(enter, case, timing.name)
                figure |= {"memory": memory.grown, "at_its_peak": memory.peak}
            figures.append(figure)
    head, rows = _table(figures, unit)
    print(f"{describe_cpu()}, {arguments.threads} threads")
    print(text_table(head, rows, num_left=4))
    if arguments.json is not None:
        settings = {
            key: getattr(arguments, key)
            for key in ("threads", "device", "dtype", "mean", "prompt", "updates", "trl_rows")
        }
        kept = {"cpu": describe_cpu(), **settings, arguments.what: figures}
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n")
    return 0


def _table(figures: list[dict[str, Any]], unit: str) -> tuple[list[str], list[list[str]]]:
    share = "useful" if "useful" in figures[0] else "of_the_floor"
    head = ["model", "workload", "samples", "contestant", unit, "spread", "Stride is", "in rounds", share]
    head += ["memory", "at_its_peak", "Stride takes"] if "memory" in figures[0] else []
    rows = []
    for figure in figures:
        ratios = figure["stride_is"]
        rival = figure["contestant"] != "stride"
        row = [f"{figure['model']} ({figure['parameters'] / 1e6:.2f} M)", figure["workload"]]
        row += [str(figure["samples"]), figure["contestant"]]
        row += [f"{statistics.median(figure['per_s']):,.4g}", f"{figure['spread']:.0%}"]
        row += [f"{statistics.median(ratios):.2f} x" if rival else ""]
        row += [f"{min(ratios):.2f}-{max(ratios):.2f}" if rival else "", f"{figure[share]:.0%}"]
        if "memory" in figure:
            if not rival:
                own = figure["memory"]
            row += [f"{figure[key] / 2**20:,.0f} MiB" for key in ("memory", "at_its_peak")]
            row += [f"{own / figure['memory']:.2f} x" if rival else ""]
        rows.append(row)
    return [cell.replace("_", " ") for cell in head], rows


if __name__ == "__main__":
    raise SystemExit(main())
