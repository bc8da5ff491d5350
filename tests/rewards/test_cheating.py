"""Texts that try to earn reward without solving: none earns more than solving does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from envs import ENVS, Env, Grade, Problem, Split, Trace, make_env, parse_trace, render_trace
from rewards import REWARDS, RewardSum, Term
from tests.kit.shipped import shipped_terms

ENV_NAMES = sorted(name for name in ENVS if ENVS[name].checks_steps)
CORRECT = Term(name="correct", weight=1.0)
# Rewards on tokens pay for any shorter text that ends in the same answer: of those rewards only one thing is
# required, that right beats wrong (test_right_beats_wrong.py).
TOKENS = {name for name in REWARDS if "length" in name or name == "token_count"}
SUMS: dict[str, Sequence[Term]] = {
    name: terms for name, terms in shipped_terms().items() if not TOKENS & {term.name for term in terms}
} | {
    "saved": [CORRECT, Term(name="steps_saved", weight=0.5)],
    "ungated": [CORRECT, Term(name="step_count", weight=-0.5)],
    "verified": [CORRECT, Term(name="verified", weight=1.0), Term(name="format", weight=0.2)],
    "budget": [CORRECT, Term(name="steps_off_budget", weight=-0.5, gate="correct")],
    "group": [CORRECT, Term(name="steps_over_shortest", weight=-0.5, gate="correct")],
    "backtracks": [
        CORRECT,
        Term(name="step_count", weight=-0.3, gate="correct"),
        Term(name="backtrack_count", weight=-0.1),
        Term(name="fake_backtracks", weight=-0.2),
        Term(name="wasted_steps", weight=-0.1),
    ],
}
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
FULL_WIDTH = {i: i + 0xFEE0 for i in range(0x21, 0x7F)}
CYRILLIC = str.maketrans("aeocpx", "аеосрх")


def closing(answer: str) -> str:
    return f"Thus, the answer is {answer}."


def with_right_answer(env: Env[Any], problem: Problem) -> dict[str, str]:
    """Texts that end in the right answer (or seem to) and skip, hide or fake the work."""
    lines = list(env.full_trace(problem))
    kind = next(iter(reversed(env.skip_kinds)), None)
    short = list((kind and env.skipped_trace(problem, kind, random.Random(0))) or lines)
    answer, half = problem.answer, len(lines) // 2
    end = closing(answer)
    texts = {
        "bare answer": end,
        "last line only": render_trace(lines[-1:], answer),
        "first line only": render_trace(lines[:1], answer),
        "every third line": render_trace(lines[2::3], answer),
        "packed with spaces": render_trace([" ".join(lines)], answer),
        "packed with semicolons": render_trace(["; ".join(lines)], answer),
        "packed with tabs": render_trace(["\t".join(lines)], answer),
        "packed with carriage returns": render_trace(["\r".join(lines)], answer),
        "packed with line separators": render_trace(["\u2028".join(lines)], answer),
        "packed with vertical tabs": render_trace(["\x0b".join(lines)], answer),
        "packed with the closing line": " ".join([*lines, end]),
        "windows line ends": render_trace(lines, answer).replace("\n", "\r\n"),
        "closing line twice": render_trace(lines, answer) + "\n" + end,
        "closing line ten times": "\n".join([end] * 10),
        "closing line first": "\n".join([end, *lines]),
        "closing line first and last": "\n".join([end, *short, end]),
        "closing line in the middle": "\n".join([*lines[:half], end, *lines[half:]]),
        "closing line in one with another": f"{end} {closing('no')}",
        "all that might be": render_trace(lines, f"{answer} or no"),
        "answer after the end": render_trace(lines, "no") + "\n" + end,
        "spaces around the closing line": "\n".join([*short, f" {end} "]),
        "every line twice": render_trace([line for line in lines for _ in (0, 1)], answer),
        "every line again": render_trace(lines + lines, answer),
        "first line again at the end": render_trace([*lines, lines[0]], answer),
        "invalid line first": render_trace(["?", *short], answer),
        "invalid line last": render_trace([*short, "?"], answer),
        "invalid line alone": render_trace(["?"], answer),
        "an empty step of spaces in zero width": render_trace(["\u200b"], answer),
        "a thousand empty lines": render_trace(["\n"] * 1000, answer),
        "a thousand invalid lines": render_trace(["?"] * 1000, answer),
        "invalid line for a valid one": render_trace(["?", *lines[1:]], answer),
        "backtrack from nowhere": render_trace(["<backtrack>", *short], answer),
        "backtrack to nowhere": render_trace([*short, "<backtrack> 9999"], answer),
        "backtrack too far to read": render_trace([*short, "<backtrack> 99999"], answer),
        "backtrack with a space before it": render_trace([" <backtrack>", *short], answer),
        "backtrack after every line to the same": render_trace(
            [part for line in lines for part in (line, "<backtrack>", line)], answer
        ),
        "all undone": render_trace([*lines, "<backtrack> 0"], answer),
        "solved twice": render_trace([*lines, "<backtrack> 0", *lines], answer),
        "detour that hides its end": render_trace([*short, "<backtrack>"], answer),
        "digits of another script": render_trace([line.translate(ARABIC) for line in lines], answer),
        "full-width letters": render_trace([line.translate(FULL_WIDTH) for line in lines], answer),
        "look-alike letters": render_trace([line.translate(CYRILLIC) for line in lines], answer),
        "prompt again": render_trace([*problem.prompt.split("\n"), *short], answer),
        "null characters": render_trace([f"{line}\x00" for line in short], answer),
    }
    # Not every task has letters or digits to replace.
    return {why: text for why, text in texts.items() if text != render_trace(lines, answer)}


def with_wrong_answer(env: Env[Any], problem: Problem, wrong: str) -> dict[str, str]:
    """Texts without the right answer that try to earn something anyway."""
    lines = list(env.full_trace(problem))
    answer, end = problem.answer, closing(problem.answer)
    return {
        "nothing": "",
        "spaces": " \n \n",
        "steps without an end": "\n".join(lines),
        "half of the steps": "\n".join(lines[: len(lines) // 2]),
        "wrong without steps": closing(wrong),
        "wrong in few steps": render_trace(lines[:1], wrong),
        "wrong, then right": f"{closing(wrong)}\n{end}",
        "right, then wrong": f"{end}\n{closing(wrong)}",
        "both in one line": closing(f"{answer}. {closing(wrong).removesuffix('.')}"),
        "more after the end": render_trace(lines, answer) + "\nOr is it?",
        "end in the middle": "\n".join([*lines[:-1], end, lines[-1]]),
        "no full stop": render_trace(lines, answer).removesuffix("."),
        "another case of the cue": render_trace(lines, answer).replace("Thus", "THUS"),
        "no cue": "\n".join([*lines, answer]),
        "empty answer": render_trace(lines, ""),
        "spaces in the answer": render_trace(lines, f"  {answer} "),
        "the steps as the answer": closing("\\n".join(lines)),
        "not a number": render_trace(lines, "nan"),
        "digits of another script": render_trace(lines, f"\u200b{answer}".translate(ARABIC)),
        "full-width answer": render_trace(lines, answer.translate(FULL_WIDTH) + "\uff01"),
        "look-alike letters": render_trace(lines, f"{answer}о"),
        "code": render_trace(lines, "__import__('os').getcwd()"),
        "very long": render_trace(lines, answer + " " * 5000),
        "backtracks only": render_trace(["<backtrack>"] * 50, wrong),
        "the question": render_trace(lines, problem.question),
    }


def problems(env: Env[Any]) -> list[tuple[Problem, str]]:
    """Problems of three steps or more, with another problem's answer, wrong here."""
    found: list[tuple[Problem, str]] = []
    for split in Split:
        candidates = [env.problem(split, index) for index in range(60)]
        hard = next(problem for problem in candidates if problem.num_full_steps >= 3 or split is Split.TRAIN)
        hard = max([hard, *candidates[:10]], key=lambda problem: problem.num_full_steps)
        wrong = next(
            other.answer for other in candidates if env.grade_answer(hard, other.answer) is not Grade.CORRECT
        )
        found.append((env.with_budget(hard, hard.num_full_steps), wrong))
    return found


Case = tuple[str, Problem, Trace, Trace]
"""What it is, the problem, an honest trace and the one that is compared with it."""


@cache
def short_cuts(name: str) -> list[Case]:
    """Texts with the right answer beside the full trace; read once for all rewards."""
    env, cases = make_env(name), []
    for problem, _ in problems(env):
        honest = env.check(problem, parse_trace(render_trace(env.full_trace(problem), problem.answer)))
        for why, text in with_right_answer(env, problem).items():
            for truncated in (False, True):
                trace = env.check(problem, parse_trace(text, truncated=truncated))
                case = f"{why}{', cut off' if truncated else ''} on {problem.question}"
                cases.append((case, problem, honest, trace))
    return cases


@cache
def mistakes(name: str) -> tuple[list[Case], list[Case]]:
    """Wrong texts; solutions, whole and cut off; each beside the full trace with a wrong answer."""
    env = make_env(name)
    wrong_texts, solutions = [], []
    for problem, wrong in problems(env):
        honest = env.check(problem, parse_trace(render_trace(env.full_trace(problem), wrong)))
        for why, text in with_wrong_answer(env, problem, wrong).items():
            trace = env.check(problem, parse_trace(text))
            wrong_texts.append((f"{why} on {problem.question}", problem, honest, trace))
        solved = render_trace(env.full_trace(problem), problem.answer)
        for why, truncated in (("solved", False), ("cut off", True)):
            trace = env.check(problem, parse_trace(solved, truncated=truncated))
            solutions.append((why, problem, honest, trace))
    return wrong_texts, solutions


def totals(rewards: RewardSum, case: Case) -> tuple[float, float]:
    _, problem, honest, trace = case
    honest_score, score = rewards(problem, [honest, trace])
    return honest_score.total, score.total


@pytest.mark.parametrize("terms", SUMS.values(), ids=SUMS)
@pytest.mark.parametrize("name", ENV_NAMES)
def test_no_short_cut_earns_more_than_the_full_trace(name: str, terms: Sequence[Term]) -> None:
    rewards = RewardSum(terms)
    for case in short_cuts(name):
        full, got = totals(rewards, case)
        assert got <= full, case[0]


@pytest.mark.parametrize("terms", SUMS.values(), ids=SUMS)
@pytest.mark.parametrize("name", ENV_NAMES)
def test_no_wrong_text_earns_more_than_an_honest_mistake(name: str, terms: Sequence[Term]) -> None:
    rewards = RewardSum(terms)
    wrong_texts, solutions = mistakes(name)
    for case in wrong_texts:
        mistake, got = totals(rewards, case)
        assert got <= mistake, case[0]
    for case in solutions:
        mistake, got = totals(rewards, case)
        assert got <= mistake if case[0] == "cut off" else got > mistake


@pytest.mark.parametrize("name", ENV_NAMES)
def test_the_texts_are_what_their_tables_claim(name: str) -> None:
    # No short cut is verified except those that do all the work; no text of the other table is right.
    env = make_env(name)
    honest_after_all = {
        "solved twice",
        "backtrack after every line to the same",
    }
    for problem, wrong in problems(env):
        verified = {
            why
            for why, text in with_right_answer(env, problem).items()
            if env.check(problem, parse_trace(text)).verified
        }
        assert verified == honest_after_all
        for why, text in with_wrong_answer(env, problem, wrong).items():
            assert not env.check(problem, parse_trace(text)).correct, why


@pytest.mark.parametrize("name", [name for name in ENV_NAMES if ENVS[name].skip_kinds])
def test_skipping_steps_validly_pays(name: str) -> None:
    # The counterpart of the tables: without more reward for a valid shorter trace, nothing would be learnt.
    env, rewards, paid = make_env(name), RewardSum(SUMS["quickstart"]), 0
    for index in range(40):
        problem = env.problem(Split.TRAIN, index)
        for kind in env.skip_kinds:
            skipped = env.skipped_trace(problem, kind, random.Random(index))
            if skipped is None or len(skipped) == problem.num_full_steps:
                continue
            honest, short = [
                env.check(problem, parse_trace(render_trace(lines, problem.answer)))
                for lines in (env.full_trace(problem), skipped)
            ]
            full, got = totals(rewards, (kind, problem, honest, short))
            # One step of n saved: 0.5 / n more.
            assert got - full == pytest.approx(0.5 / problem.num_full_steps)
            paid += 1
    assert paid > 20
