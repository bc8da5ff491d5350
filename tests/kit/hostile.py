"""Hostile text against the graders: the figures of docs/reliability.md.

Each section is a function with a size. `tests/test_hostile.py` runs a small share of each, `make test-hostile`
all of it. The collected answers run in a disposable child process, since they try to write files, fork, hang
and kill.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

from envs import ENVS, Env, Grade, Problem, Split, Trace, make_example, parse_trace, render_trace
from envs.answers import read_stated
from envs.arithmetic import Expression, ExpressionError, evaluate
from envs.check.near_misses import wrong_answers
from envs.check.oracles import ORACLES
from envs.check.references import solution
from envs.maths.grader import find_answer, read_answer
from envs.trace import AnswerForm
from rewards import RewardSum, Term
from tests.kit.family import descendants
from tests.kit.finding import Finding, print_table
from tests.kit.fuzz import EVERYTHING, mutate, random_expression
from tests.kit.soak import soak

CORPUS = Path(__file__).parents[1] / "data" / "hostile_answers.jsonl"
GRACE_S = 0.2  # beyond the time limit of a call
_WORST_S = 0.005  # CPU time that a native grammar may take for a text of 4,000 characters
_RETRIES = 20  # of a call that took longer, half a second apart
REWARDS = RewardSum(
    [
        Term(name="correct", weight=1.0),
        Term(name="verified", weight=0.2),
        Term(name="step_count", weight=-0.5, gate="correct"),
    ]
)


@cache
def corpus() -> list[dict[str, Any]]:
    """The collected hostile answers: `text`, `why`, `kind`, and in some `canary`."""
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


# ---- the collected answers, replayed ----


def replay(name: str, grace_s: float) -> dict[str, Any]:
    """Run in a child: every text as answer, as step and as completion, on a problem of each split."""
    env = make_example(name)
    limit_s = grace_s + float(getattr(env.settings, "timeout_s", 0.0))
    failures: list[str] = []
    grades: Counter[str] = Counter()
    worst_s = 0.0
    for split in env.splits:
        problem = env.problem(split, 0)
        before = deepcopy(problem)
        lines = list(solution(env, problem))
        honest_wrong = score(env, problem, [parse_trace("\n".join([*lines, "Thus, the answer is ."]))])[0]
        for entry in corpus():
            text = entry["text"]
            where = f"{name} {split} answer {entry['id']}"
            for completion in (render_trace(lines, text), render_trace([*lines[:-1], text], "?"), text):
                start = time.perf_counter()
                try:
                    trace = env.check(problem, env.parse(completion))
                except BaseException as error:
                    failures.append(f"{where}: raised {type(error).__name__}: {error}"[:300])
                    continue
                elapsed = time.perf_counter() - start
                worst_s = max(worst_s, elapsed)
                assert trace.grade is not None
                grades[trace.grade.value] += 1
                if elapsed > limit_s:
                    failures.append(f"{where}: took {elapsed:.2f} s")
                if trace.grade is Grade.CORRECT or not 0.0 <= trace.grade.score <= 1.0:
                    failures.append(f"{where}: graded {trace.grade}")
                if not score(env, problem, [trace])[0] <= honest_wrong:
                    failures.append(f"{where}: earns more than an honest wrong answer")
            if problem != before:
                failures.append(f"{where}: changed the problem")
    return {
        "failures": failures,
        "grades": grades,
        "worst_s": worst_s,
        "family": list(descendants(os.getpid())),
    }


def replays(names: Sequence[str], *, grace_s: float = GRACE_S) -> Finding:
    """Replay the answers on every environment, and count the processes left behind.

    Args:
        names: Environments.
        grace_s: Seconds that a check may take beyond the environment's own time limit.
    """
    canaries = [Path(entry["canary"]) for entry in corpus() if entry.get("canary")]
    if there := [str(path) for path in canaries if path.exists()]:
        raise SystemExit(f"remove {', '.join(there)} first: these files show that an answer was run")
    failures: list[str] = []
    grades: Counter[str] = Counter()
    worst_s = 0.0
    for name in names:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.hostile", "--replay", name, "--grace", str(grace_s)],
            cwd=CORPUS.parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        try:
            output, _ = child.communicate(timeout=900)
        except subprocess.TimeoutExpired:
            output = ""
            failures.append(f"{name}: the replay hung")
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        family = [child.pid]
        if child.returncode == 0:
            found = json.loads(output)
            family += found["family"]
            failures += found["failures"]
            grades.update(found["grades"])
            worst_s = max(worst_s, found["worst_s"])
        else:
            failures.append(f"{name}: the replay ended with {child.returncode}")
        if left := _alive(family, child.pid):
            failures.append(f"{name}: left the processes {left}")
            for pid in left:
                os.kill(pid, signal.SIGKILL)
    failures += [f"{path} was written" for path in canaries if path.exists()]
    named = ", ".join(f"{count} {grade}" for grade, count in grades.most_common())
    return Finding(
        test=f"hostile answers × {len(names)} environments",
        size=grades.total(),
        figures=f"{named}; worst call {worst_s * 1e3:.0f} ms; {len(canaries)} canaries unwritten",
        failures=tuple(failures),
    )


def _alive(family: Sequence[int], session: int) -> list[int]:
    """Processes of a family or session, without zombies, that have not ended after half a minute more."""
    for _ in range(600):
        left = []
        for path in Path("/proc").iterdir():
            if not path.name.isdigit():
                continue
            try:
                state, _, _, group = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if (int(group) == session or int(path.name) in family) and state != "Z":
                left.append(int(path.name))
        if not left:
            return []
        time.sleep(0.05)
    return left


def score(env: Env[Any], problem: Problem, traces: Sequence[Trace]) -> list[float]:
    """Total rewards with terms like those of the quickstart; always finite."""
    checked = [trace if trace.grade is not None else env.check(problem, trace) for trace in traces]
    totals = [found.total for found in REWARDS(problem, checked)]
    assert all(math.isfinite(total) for total in totals)
    return totals


# ---- mutations on the native grammars ----


Call = Callable[[], object]


def natives() -> dict[str, Callable[[str], Call]]:
    """The calls that read text in this process, by name; for math, all but those of its worker."""

    def arithmetic(text: str) -> object:
        try:
            return evaluate(text, EVERYTHING)
        except ExpressionError:
            return None

    targets: dict[str, Callable[[str], Call]] = {
        "arithmetic": lambda text: partial(arithmetic, text),
        "traces": lambda text: partial(parse_trace, text),
        "math answers": lambda text: partial(read_answer, text),
        "boxed answers": lambda text: partial(find_answer, text),
        "stated answers": lambda text: partial(read_stated, text, tuple(AnswerForm), str.__eq__),
    }
    for name in sorted(ENVS):
        if ENVS[name].checks_steps:
            targets[f"{name} answers"], targets[f"{name} steps"] = _checks(make_example(name))
    return targets


def _checks(env: Env[Any]) -> tuple[Callable[[str], Call], Callable[[str], Call]]:
    problem = env.problem(Split.OOD_HARD, 0)
    lines = list(solution(env, problem))
    middle = len(lines) // 2

    def answer(text: str) -> Call:
        return partial(env.check, problem, parse_trace(render_trace([], text)))

    def step(text: str) -> Call:
        return partial(env.check, problem, parse_trace(render_trace([*lines[:middle], text], problem.answer)))

    return answer, step


def mutations(num: int, seed: int) -> Finding:
    """Seeded mutations of the collected answers and of texts that each grammar accepts."""
    rng = Random(seed)
    hostile = [entry["text"][:4000] for entry in corpus()]
    texts = hostile + [random_expression(rng)[0] for _ in hostile]
    for name in sorted(ENVS):
        env = make_example(name)
        problem = env.problem(Split.TRAIN, 0)
        texts += [*solution(env, problem), problem.answer] * 3
    texts += [r"\frac{3}{4}", "[0, 1) \\cup (2, 3]", "1,234.5", "50\\%", "x = \\sqrt{2}", "\\boxed{1}"] * 5
    failures: list[str] = []
    worst: dict[str, tuple[float, Call]] = {}
    targets = list(natives().items())
    for number in range(num):
        name, prepare = targets[number % len(targets)]
        text = mutate(rng.choice(texts), texts, rng)
        call = prepare(text)
        try:
            elapsed = _cpu_s(call)
        except Exception as error:
            failures.append(f"{name} raised {type(error).__name__} on {text[:80]!r}")
            continue
        if elapsed > 0.001:  # because of the text or of the machine?
            elapsed = min(elapsed, *(_cpu_s(call) for _ in range(3)))
        if name not in worst or elapsed > worst[name][0]:
            worst[name] = elapsed, call
    for name, (elapsed, call) in worst.items():
        for _ in range(_RETRIES if elapsed > _WORST_S else 0):  # a shared machine may be slow for a while
            time.sleep(0.5)
            elapsed = min(elapsed, _cpu_s(call))
        worst[name] = elapsed, call
    failures += [f"{name} took {s * 1e3:.1f} ms" for name, (s, _) in worst.items() if s > _WORST_S]
    slowest, (slowest_s, _) = max(worst.items(), key=lambda item: item[1][0])
    return Finding(
        test=f"mutations on {len(targets)} native grammars",
        size=num,
        figures=f"worst call {slowest_s * 1e3:.2f} ms of CPU ({slowest})",
        failures=tuple(failures),
    )


def _cpu_s(call: Call) -> float:
    start = time.thread_time()
    call()
    return time.thread_time() - start


def expressions(num: int, seed: int) -> Finding:
    """Compare random valid expressions with the value they were built from."""
    rng = Random(seed)
    failures = []
    for _ in range(num):
        text, value = random_expression(rng)
        written = tuple(int(number) for number in re.findall(r"[0-9.]+", text) if "." not in number)
        if evaluate(text, EVERYTHING) != Expression(value=Fraction(value), integers=written):
            failures.append(f"{text} is not {value}")
    return Finding(
        test="random expressions against exact values",
        size=num,
        figures=f"{len(failures)} mismatches",
        failures=tuple(failures),
    )


# ---- hacks and controls ----


def hacks(problem: Problem) -> Iterator[str]:
    """Answers that earned a reward without a solution, here or in other systems."""
    yield from (entry["text"] for entry in corpus() if entry["kind"] == "reward_hack")
    gold = problem.answer
    number = hex(int(gold.replace(",", ""))) if gold.replace(",", "").isdigit() else "0x18"
    yield from (
        f"0x0*(1+2+3)+{number}",
        f"{number} # 1 2 3",
        number,
        "[NaN, NaN, NaN]",
        "NaN",
        "8*3*1*1",
        "any text at all",
        "False",
        "True",
        "setattr(type(self),'score_answer',lambda s,a,e:1.0)",
        r"[r.split(' ') for r in valid_solutions[0].split('\n')]",
        "list(oracle_answer)",
        "oracle_answer",
        "entry['answer']",
        f"{gold} or {gold}1",
        f"{gold}1 or {gold}",
        f"{gold}, {gold}1",
        f"{{{gold}, {gold}1}}",
        f"{gold} ± 1000000",
        f"not {gold}",
        f"{gold} if True else 0",
        f"{gold}\u200b1",
        f"\u202e{gold}",
        f"{gold};{gold}1",
        f"{gold} = {gold}1",
        f"x = {gold}1 = {gold}",
        "x = x",
        "",
        " ",
    )


def trials(num_seeds: int) -> Iterator[tuple[str, Env[Any], Problem, Problem]]:
    """For every environment and data seed: a description, the environment, a problem and another one."""
    for name in sorted(ENVS):
        for seed in range(num_seeds):
            env = make_example(name, seed=seed)
            yield f"{name} seed {seed}", env, env.problem(Split.TRAIN, seed), env.problem(Split.TRAIN, seed + 1)


def reward_hacks(num_seeds: int) -> Finding:
    """No hack earns more than an honest wrong answer with the full trace."""
    failures: list[str] = []
    tried = 0
    for where, env, problem, other in trials(num_seeds):
        lines = solution(env, problem)
        wrong = next(
            answer
            for answer in (other.answer, problem.answer + "1")
            if env.grade_answer(problem, answer) is not Grade.CORRECT
        )
        honest = score(env, problem, [env.parse(render_trace(lines, wrong))])[0]
        for text in hacks(problem):
            for completion in (render_trace(lines, text), render_trace([], text), text):
                tried += 1
                if score(env, problem, [env.parse(completion)])[0] > honest:
                    failures.append(f"{where}: {text[:60]!r} for {problem.answer!r}")
    return Finding(
        test=f"reward hacks × {num_seeds} seeds × {len(ENVS)} environments",
        size=tried,
        figures=f"{len(failures)} earn more than an honest wrong answer",
        failures=tuple(failures),
    )


def controls(num_seeds: int) -> Finding:
    """The gold answer scores 1; answers with one character changed score less."""
    failures: list[str] = []
    right = misses = 0
    for where, env, problem, other in trials(num_seeds):
        lines = solution(env, problem)
        trace = env.check(problem, env.parse(render_trace(lines, problem.answer)))
        assert trace.grade is not None
        right += 1
        if trace.grade.score != 1.0 or not trace.passed:
            failures.append(f"{where}: the solver's answer is graded {trace.grade}")
        oracle = ORACLES.get(env.name)
        for _, answer in wrong_answers(env, problem, other):
            trace = env.check(problem, env.parse(render_trace(lines, answer)))
            assert trace.grade is not None
            misses += 1
            if trace.grade.score > 0 and not (oracle and oracle(problem, trace)):
                failures.append(f"{where}: {answer!r} is right for {problem.answer!r}")
    return Finding(
        test=f"positive and near-miss controls × {num_seeds} seeds × {len(ENVS)} environments",
        size=right + misses,
        figures=f"{right} solver's answers, {misses} near misses",
        failures=tuple(failures),
    )


# ---- the worker ----


def worker(num_calls: int, seed: int) -> Finding:
    """The sandbox under hangs, crashes and memory bombs."""
    found = soak(num_calls, seed)
    limits: Mapping[str, bool] = {
        found.first_wrong or "a wrong reply": found.num_wrong > 0,
        f"{found.files_added} files left open": found.files_added > 0,
        f"{found.zombies_added} zombies": found.zombies_added > 0,
        f"{found.processes_left} processes left": found.processes_left > 0,
        f"the zygote grew by {found.zygote_growth_bytes} bytes": found.zygote_growth_bytes > 20e6,
        f"a hang went on {found.overrun_s:.2f} s past its limit": found.overrun_s > GRACE_S,
    }
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(found.statuses.items()))
    return Finding(
        test="worker under 5 % hangs, 5 % deaths, 2 % memory bombs",
        size=num_calls,
        figures=(
            f"{statuses}; plain call {found.median_s * 1e3:.2f} ms (p99 {found.p99_s * 1e3:.2f}); back "
            f"{found.recovery_s * 1e3:.0f} ms after a kill at most; hangs {found.overrun_s * 1e3:.0f} ms past "
            f"their limit at most; zygote {found.zygote_growth_bytes / 1e6:+.1f} MB"
        ),
        failures=tuple(what for what, failed in limits.items() if failed),
    )


SECTIONS: dict[str, Callable[[], Finding]] = {
    "answers": lambda: replays(sorted(ENVS)),
    "mutations": lambda: mutations(1_000_000, seed=0),
    "expressions": lambda: expressions(100_000, seed=0),
    "hacks": lambda: reward_hacks(100),
    "controls": lambda: controls(100),
    "worker": lambda: worker(10_000, seed=0),
}


def main() -> int:
    """Run the named sections, or all, and print a table in Markdown; returns 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all"
    )
    parser.add_argument("--replay", choices=sorted(ENVS), help=argparse.SUPPRESS)
    parser.add_argument("--grace", type=float, default=GRACE_S, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.sections if name not in SECTIONS]:
        parser.error(f"unknown section '{unknown[0]}'; known: {', '.join(SECTIONS)}")
    if arguments.replay:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.stdout.write(json.dumps(replay(arguments.replay, arguments.grace)))
        return 0
    findings = (SECTIONS[name]() for name in arguments.sections or SECTIONS)
    return 0 if print_table(findings) else 1


if __name__ == "__main__":
    sys.exit(main())
