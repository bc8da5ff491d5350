"""Look at your data before a run, start on skipped solutions, and write problems as files.

`check` prints one screen: rows and what is wrong with them, repeated questions, step counts of full
and skipped solutions, the steps that verify, the worst rows, and what a constant answer earns.
`skip` writes a file with proposals of skipped solutions, for you to edit.
`export` writes a task's problems and traces in the layout of the released step-skipping data.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.arguments import Arguments, closest
from scripts.exits import RUN_FAILED, user_errors

if TYPE_CHECKING:
    from envs import Env
    from envs.data.inspection import Progress

CHECK = """Print what a data set holds, on one screen.

SOURCE is what env.settings.train of the task math takes: a JSONL, JSON, CSV or parquet file, a
folder saved by datasets, or owner/name on the hub; key=value are other env.settings. It may also
be a config (.yaml), whose task is looked at; key=value are its keys. With --task it is any task,
and key=value are its settings.

Exit code: 1 if a run would refuse the data for its rows (on_bad_rows: refuse, the default);
0 otherwise, also if on_bad_rows=skip leaves rows out."""
SKIP = """Propose skipped solutions for the rows of a file, to be edited by a person.

A step whose result the next one uses is merged into it, as far as max_merge allows, and lines that
repeat a result are dropped. Every proposal is checked: its steps are valid and lead to the row's
answer. Each row that can be read gives one row of the new file, with the proposals in 'skipped' and
what was done in 'note'. Words of merged lines are lost, so read it before you train on it. The file
is data for `stride data check` and for runs; one that exists is never overwritten."""
EXPORT = """Write problems and traces of addition, directional or algebra as JSONL files.

The layout and the wording are those of the data of "Can Language Models Learn to Skip Steps?", which
env.settings.files reads: train.jsonl with full and hand-skipped traces, id_test.jsonl, ood_easy.jsonl
and ood_hard.jsonl. SOURCE is a config, and key=value are its keys; with --task, key=value are the
task's settings. Files that exist are never overwritten."""
_CONFIGS = (".yaml", ".yml")


def main(argv: list[str] | None = None) -> int:
    """Run `check`, `skip` or `export`."""
    words = sys.argv[1:] if argv is None else argv
    parser = Arguments("data", about=f"{__doc__}", example="stride data check gsm8k.jsonl preset=gsm8k")
    parser.add_argument(
        "command", metavar="check | skip | export", help="stride data check --help has its arguments"
    )
    command = parser.parse_args(words[:1]).command
    if command not in _COMMANDS:
        parser.error(
            f"unknown command '{command}'{closest(command, list(_COMMANDS))} known: {', '.join(_COMMANDS)}"
        )
    return _COMMANDS[command](words[1:])


def _check(argv: list[str]) -> int:
    parser = Arguments("data check", about=CHECK, example="stride data check gsm8k.jsonl preset=gsm8k")
    parser.add_argument("words", nargs="*", metavar="SOURCE | key=value", help="the data; settings")
    parser.add_argument("--task", metavar="NAME", help="another task than math, such as reasoning_gym")
    parser.add_argument(
        "-n", "--num-problems", type=int, default=200, help="problems of each endless split (default 200)"
    )
    parser.add_argument("--all", action="store_true", help="list all faults, not the first of each kind")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write all figures to FILE")
    arguments = parser.parse_intermixed_args(argv)
    if arguments.num_problems < 1:
        parser.error(f"--num-problems is {arguments.num_problems}; give at least 1")
    source, overrides = _source(parser, arguments.words, needed=arguments.task is None)
    if source is not None and arguments.task is not None:
        parser.error(f"{source} and --task {arguments.task}: give one of the two")
    with user_errors():
        from envs.data.inspection import inspect, inspect_report
        from envs.data.report import BadRowsError
        from envs.data.table import render, to_json

        given = _given(source, arguments.task, overrides)
        problem = ""
        try:
            found = inspect(
                given.build(), num_problems=arguments.num_problems, progress=_progress("problems checked")
            )
        except BadRowsError as error:
            problem = str(error)
            found = inspect_report(given.name, given.settings, error.report)
        found = replace(found, settings=given.settings)
        print(render(found, show_all=arguments.all))
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(to_json(found), indent=2, ensure_ascii=False) + "\n")
    if problem:
        print(f"\nNo run can start: {problem}.")
    elif found.faults and given.refuses:
        print("\nA run would refuse this data: correct the rows, or leave them out by on_bad_rows=skip.")
    return RUN_FAILED if problem or (found.faults and given.refuses) else 0


def _skip(argv: list[str]) -> int:
    parser = Arguments(
        "data skip", about=SKIP, example="stride data skip gsm8k.jsonl preset=gsm8k --out gsm8k_skipped.jsonl"
    )
    parser.add_argument("words", nargs="*", metavar="SOURCE | key=value", help="the data; settings")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the new file, in JSON Lines", required=True)
    arguments = parser.parse_intermixed_args(argv)
    source, overrides = _source(parser, arguments.words, needed=True)
    if arguments.out.exists():
        parser.error(f"--out {arguments.out} exists and is not overwritten; give another name")
    if not arguments.out.parent.is_dir():
        parser.error(f"--out {arguments.out}: there is no folder {arguments.out.parent}")
    with user_errors():
        from configs import ConfigError
        from envs.data.proposals import write_proposals
        from envs.data.report import HasReport

        env = _given(source, None, ["check_steps=arithmetic", *overrides]).build()
        if not isinstance(env, HasReport):
            raise ConfigError(f"{source} is a config without data; give a file")
        if not env.checks_steps:
            raise ConfigError("check_steps=none checks no steps, so none can be left out; leave it out")
        found = write_proposals(env, env.data_report, arguments.out, progress=_progress("rows"))
    share = f"{found.num_proposed / max(1, found.num_rows):.1%}"
    print(f"{found.num_rows:>9,} rows written to {arguments.out}")
    print(f"{found.num_proposed:>9,} with a proposal ({share}), {found.num_versions:,} skipped solutions")
    for reason, count in found.reasons.items():
        print(f"{count:>9,} without: {reason}")
    if found.num_proposed:
        saved = 1 - found.num_left / found.num_steps
        print(f"{found.num_steps:>9,} steps become {found.num_left:,} in the shortest ones ({saved:.1%} saved)")
    return 0


def _export(argv: list[str]) -> int:
    parser = Arguments(
        "data export", about=EXPORT, example="stride data export --task addition --out addition_rows -n 2885"
    )
    parser.add_argument("words", nargs="*", metavar="CONFIG | key=value", help="a config; keys or settings")
    parser.add_argument("--task", metavar="NAME", help="the task, instead of a config")
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="where the files go", required=True)
    parser.add_argument(
        "-n", "--num-problems", type=int, default=1000, help="problems of each endless split (default 1000)"
    )
    parser.add_argument(
        "--skip-kind", metavar="RULE", help="hand-skip rule, or none (default: the task's first)"
    )
    arguments = parser.parse_intermixed_args(argv)
    if arguments.num_problems < 1:
        parser.error(f"--num-problems is {arguments.num_problems}; give at least 1")
    source, overrides = _source(parser, arguments.words, needed=arguments.task is None)
    if source is not None and arguments.task is not None:
        parser.error(f"{source} and --task {arguments.task}: give one of the two")
    if source is not None and not source.endswith(_CONFIGS):
        parser.error(
            f"{source} is no config (.yaml); name the task with --task and files as files.train={source}"
        )
    with user_errors():
        from configs import ConfigError
        from envs.released.env import ReleasedEnv
        from envs.released.write import FILES, write_files

        env = _given(source, arguments.task, overrides).build()
        if not isinstance(env, ReleasedEnv):
            raise ConfigError(f"'{env.name}' has no released layout; addition, directional and algebra have")
        kind = arguments.skip_kind or env.skip_kinds[0]
        if kind not in (*env.skip_kinds, "none"):
            raise ConfigError(
                f"--skip-kind is '{kind}'; '{env.name}' knows {', '.join(env.skip_kinds)} and none"
            )
        if there := [name for name in FILES.values() if (arguments.out / name).exists()]:
            raise ConfigError(f"--out {arguments.out} has {there[0]} already, which is not overwritten")
        arguments.out.mkdir(parents=True, exist_ok=True)
        found = write_files(
            env,
            arguments.out,
            num_problems=arguments.num_problems,
            skip_kind=None if kind == "none" else kind,
            progress=_progress("problems"),
        )
    for one in found:
        print(f"{one.num_problems:>9,} problems, {one.num_skipped:,} skipped versions: {one.path}")
    return 0


def _source(parser: Arguments, words: list[str], *, needed: bool) -> tuple[str | None, list[str]]:
    """The source and the overrides."""
    sources = [word for word in words if "=" not in word]
    if len(sources) > 1:
        parser.error(
            f"{sources[0]} and {sources[1]}: give one SOURCE; another split is a setting, id={sources[1]}"
        )
    if needed and not sources:
        task = ", or --task NAME" if parser.prog.endswith("check") else ""
        parser.error(f"SOURCE is missing; give a file{task}")
    return (sources[0] if sources else None), [word for word in words if "=" in word]


@dataclass(frozen=True, kw_only=True)
class _Given:
    """A task and its settings."""

    name: str
    settings: Mapping[str, Any]
    folder: str | None
    refuses: bool

    def build(self) -> Env[Any]:
        """The task. Rows with faults are left out of it, so that the others can be looked at.

        Raises:
            ConfigError: A name, a setting or the data is wrong.
            BadRowsError: Too few rows can be used.
        """
        from pydantic import ValidationError

        from configs import ConfigError, describe_errors
        from envs import make_env
        from envs.data.report import BadRowsError
        from envs.registry import find_env

        try:
            known = find_env(self.name, self.folder).Settings
            lenient = {"on_bad_rows": "skip"} if "on_bad_rows" in known.model_fields else {}
            known.model_validate(self.settings)
            return make_env(self.name, {**self.settings, **lenient}, self.folder)
        except ValidationError as error:
            raise ConfigError(f"settings of '{self.name}': {describe_errors(error, known)}") from None
        except BadRowsError:
            raise
        except ValueError as error:
            raise ConfigError(str(error)) from None


def _given(source: str | None, task: str | None, overrides: list[str]) -> _Given:
    """What the arguments name.

    Raises:
        ConfigError: An override or the config cannot be read.
    """
    from configs import load_config
    from configs.schema.load import read_overrides

    name, folder = task or "math", None
    settings: Mapping[str, Any]
    if source is not None and source.endswith(_CONFIGS):
        config = load_config(source, overrides)
        name, settings, folder = config.env.name, config.env.settings, config.modules_dir
    else:
        settings = {**({} if source is None else {"train": source}), **read_overrides(overrides)}
    refuses = settings.get("on_bad_rows", "refuse") == "refuse"
    return _Given(name=name, settings=settings, folder=folder, refuses=refuses)


def _progress(what: str) -> Progress | None:
    """A counter on stderr that is updated in place, for a person who waits over two seconds."""
    if not sys.stderr.isatty():
        return None
    start = shown = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if done == total and shown > start:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        elif now - start > 2 and now - shown > 0.2:
            shown = now
            print(f"\r{done:,} of {total:,} {what}", end="", file=sys.stderr, flush=True)

    return show


_COMMANDS = {"check": _check, "skip": _skip, "export": _export}

if __name__ == "__main__":
    raise SystemExit(main())
