"""The mix of demonstrations for the warm start, and which tokens get a loss."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from configs.schema.config import WarmStartConfig
from envs import Demonstration, Env, Problem, Thinking, make_env, parse_trace
from envs.tasks.directional import Directional
from rl.models.tiny import make_tokenizer
from rl.sft.encode import IGNORED, encode_examples, encode_phases
from rl.sft.examples import Example, Phase, TraceKind, describe_mix, make_examples, make_phases
from rollout.encoder import Encoder, make_encoder


class Detours(Directional):
    """Directional reasoning with wrong lines that are taken back; controls are padded by repeating a word."""

    error_kinds = ("up", "down")

    def detour_trace(self, problem: Problem, errors: Sequence[str], rng: random.Random) -> Demonstration | None:
        if len(errors) > 2:
            return None
        first, *rest = self.full_trace(problem)
        detours = [line for error in errors for line in (f"{error}. {first}", "<backtrack> 1")]
        wrong = frozenset(range(1, 1 + len(detours), 2))
        return Demonstration(lines=(first, *detours, *rest), wrong=wrong)

    def padded_trace(self, problem: Problem, num_lines: int, rng: random.Random) -> Demonstration | None:
        lines = self.full_trace(problem)
        return Demonstration(lines=(*lines, *["left"] * (num_lines - len(lines))))

    def search_trace(self, problem: Problem, rng: random.Random) -> Demonstration | None:
        return Demonstration(lines=("search", *self.full_trace(problem)))


def config(**settings: Any) -> WarmStartConfig:
    return WarmStartConfig(**{"skipped_frac": 0.0, **settings})


def draw_examples(env: Env[Any], settings: WarmStartConfig, *, seed: int) -> list[Example]:
    return make_examples(env, settings, num_problems=200, seed=seed)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return make_encoder(make_tokenizer(make_env("directional")))


def kinds(env: Env[Any], settings: WarmStartConfig) -> Counter[str]:
    found: Counter[str] = Counter()
    for example in draw_examples(env, settings, seed=0):
        lines = example.text.split("\n")
        problem_steps = example.problem.prompt.count(",") + 1
        if "<backtrack> 1" in lines:
            found[f"{lines.count('<backtrack> 1')} detours"] += 1
        elif lines[0] == "search":
            found["search"] += 1
        elif "left" in lines:
            found["padded"] += 1
        else:
            found["full" if len(lines) == problem_steps + 1 else "skipped"] += 1
    return found


def test_the_mix_has_the_configured_shares() -> None:
    settings = config(
        skipped_frac=0.2, skip_kinds=["any_pair"], detour_frac=0.3, num_detours=[1, 2], search_frac=0.25
    )
    found = kinds(Detours(), settings)
    # 200 draws: five standard deviations are about 35. A problem of one action has no pair to skip.
    assert abs(found["1 detours"] - 30) < 25 and abs(found["2 detours"] - 30) < 25
    assert abs(found["search"] - 50) < 31 and abs(found["skipped"] - 40) < 31
    assert found["full"] == 200 - found["1 detours"] - found["2 detours"] - found["search"] - found["skipped"]


def test_by_default_there_are_no_detours() -> None:
    assert kinds(Detours(), config()) == {"full": 200}


def test_a_stopped_demonstration_ends_with_its_first_wrong_line_and_a_backtrack() -> None:
    env = make_env("countdown")
    settings: dict[str, Any] = {"skipped_frac": 0.0, "detour_frac": 1.0, "num_detours": [1, 2]}
    whole = make_examples(env, WarmStartConfig(**settings), num_problems=40, seed=0)
    stopped = make_examples(env, WarmStartConfig(**settings, stop_at_backtrack=True), num_problems=40, seed=0)
    assert {one.written for one in stopped} == {TraceKind.STOPPED}
    for long, short in zip(whole, stopped, strict=True):
        *lines, wrong, last = short.text.split("\n")
        assert last == "<backtrack>" and "<backtrack>" not in "".join([*lines, wrong])
        assert long.text.startswith("\n".join([*lines, wrong]))
        ((start, end),) = short.ignored
        assert short.text[start:end] == wrong
        trace = env.check(short.problem, env.parse(short.text))
        assert [step.verdict for step in trace.steps[:-2]] == ["valid"] * len(lines)
        assert trace.backtracks[0].needed and trace.answer is None


def test_controls_are_as_long_as_the_detours_they_stand_for() -> None:
    detours = draw_examples(Detours(), config(detour_frac=1.0, num_detours=[1, 2]), seed=3)
    controls = draw_examples(
        Detours(), config(detour_frac=1.0, num_detours=[1, 2], detour_control=True), seed=3
    )
    assert [e.text.count("\n") for e in detours] == [e.text.count("\n") for e in controls]
    assert all("<backtrack>" in e.text for e in detours) and not any("<backtrack>" in e.text for e in controls)
    assert all(e.ignored == () for e in controls)


def test_errors_are_drawn_by_their_weights() -> None:
    settings = config(detour_frac=1.0, num_detours=[2], error_mix={"up": 1, "down": 3})
    text = "\n".join(example.text for example in draw_examples(Detours(), settings, seed=0))
    ups, downs = text.count("\nup. "), text.count("\ndown. ")
    assert ups + downs == 400 and abs(ups - 100) < 45


def test_a_problem_without_room_gets_its_full_trace() -> None:
    assert kinds(Detours(), config(detour_frac=1.0, num_detours=[3])) == {"full": 200}


def test_the_mix_is_described() -> None:
    examples = draw_examples(Detours(), config(detour_frac=1.0), seed=0)
    assert describe_mix(examples) == "200 traces: 200 with detours"
    controls = draw_examples(Detours(), config(detour_frac=1.0, detour_control=True), seed=0)
    assert describe_mix(controls) == "200 traces: 200 length-matched controls"
    no_room = draw_examples(Detours(), config(detour_frac=1.0, num_detours=[3]), seed=0)
    assert describe_mix(no_room) == (
        "200 traces: 200 full; 200 of 200 with detours did not fit their problem and are full ones"
    )
    mixed = draw_examples(Detours(), config(skipped_frac=0.5, search_frac=0.25), seed=0)
    drawn, written = Counter(e.drawn for e in mixed), Counter(e.written for e in mixed)
    lacking = drawn[TraceKind.SKIPPED] - written[TraceKind.SKIPPED]
    assert lacking > 0  # not every problem has a pair that cancels
    assert describe_mix(mixed) == (
        f"200 traces: {written[TraceKind.FULL]} full, {written[TraceKind.SKIPPED]} with a step skipped, "
        f"{written[TraceKind.SEARCH]} of a search; {lacking} of {drawn[TraceKind.SKIPPED]} with a step skipped "
        "did not fit their problem and are full ones"
    )


def test_wrong_lines_are_masked_and_nothing_else(encoder: Encoder) -> None:
    examples = draw_examples(Detours(), config(detour_frac=1.0, num_detours=[2]), seed=1)
    rows = encode_examples(examples, encoder)
    for example, row in zip(examples, rows, strict=True):
        labels = row["labels"]
        prompt = len(encoder.encode_prompt(example.problem))
        assert labels[:prompt] == [IGNORED] * prompt
        learnt = [label for label in labels if label != IGNORED]
        wrong = [line for line in example.text.split("\n") if line.startswith(("up. ", "down. "))]
        assert [example.text[start:end] for start, end in example.ignored] == wrong and len(wrong) == 2
        # The text without the two wrong lines gets a loss: their line ends and the backtracks stay.
        kept = example.text
        for line in wrong:
            kept = kept.replace(line, "", 1)
        assert encoder.decode(learnt) == kept
        assert learnt[-1] == encoder.stop_ids[0]


def test_masking_can_be_switched_off(encoder: Encoder) -> None:
    examples = draw_examples(Detours(), config(detour_frac=1.0, mask_wrong_steps=False), seed=1)
    assert examples[0].ignored == ()
    row = encode_examples(examples[:1], encoder)[0]
    assert [label for label in row["labels"] if label != IGNORED] == list(
        encoder.encode_completion(examples[0].text)
    )


def test_a_step_budget_is_the_number_of_lines_of_the_trace() -> None:
    for example in draw_examples(Detours(), config(detour_frac=1.0, budget_frac=1.0), seed=1):
        lines = len(parse_trace(example.text).steps)
        assert f"Let's solve it in {lines} step" in example.problem.prompt


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"error_mix": {"ups": 1.0}},
            r"error_mix has \['ups'\], which 'algebra' does not know; known: none",
        ),
        ({"detour_frac": 0.5}, "detour_frac is 0.5, but 'algebra' writes no detours; set it to 0"),
        ({"search_frac": 0.5}, "search_frac is 0.5, but 'algebra' writes no search traces; set it to 0"),
        (
            {"skip_kinds": ["all"]},
            r"skip_kinds has \['all'\], which 'algebra' does not know; known: any_pair",
        ),
    ],
)
def test_demonstrations_that_an_environment_cannot_write_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^warm_start\.{message}"):
        draw_examples(make_env("algebra"), config(**settings), seed=0)


def test_all_impossible_demonstrations_are_named_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"skip_kinds .*known: .*; warm_start\.detour_frac .*; warm_start\.search"
    ):
        draw_examples(make_env("algebra"), config(skip_kinds=["all"], detour_frac=0.5, search_frac=0.5), seed=0)


def test_an_environment_without_solutions_needs_a_single_change() -> None:
    with pytest.raises(ValueError, match=r"^no solutions; set warm_start to null$"):
        draw_examples(NoSolutions(), config(skipped_frac=0.5, skip_kinds=["all"]), seed=0)


class NoSolutions(Directional):
    has_solutions = False

    def full_trace(self, problem: Problem) -> tuple[str, ...]:
        raise ValueError("no solutions; set warm_start to null")


def test_a_control_needs_lines_that_change_nothing() -> None:
    class NoPadding(Detours):
        padded_trace = Directional.padded_trace

    with pytest.raises(ValueError, match=r"^warm_start\.detour_control is 0\.5, but .* set it to false$"):
        draw_examples(NoPadding(), config(detour_frac=0.5, detour_control=True), seed=0)


def test_a_task_without_solutions_is_refused_before_any_share_of_the_mix() -> None:
    """With the default mix the advice is to drop the warm start, not to set `skipped_frac` to 0."""

    class Unsolved(Directional):
        skip_kinds = ()
        has_solutions = False
        full_trace = Env.full_trace

    with pytest.raises(ValueError, match=r"^directional has no worked solutions .*; set warm_start to null$"):
        make_examples(Unsolved(), WarmStartConfig(), num_problems=5, seed=0)


def test_lines_are_numbered_from_a_random_number_that_gets_no_loss() -> None:
    env = make_env("addition")
    plain = draw_examples(env, config(), seed=0)
    firsts, longest = Counter[int](), max(example.text.count("\n") for example in plain)
    for before, example in zip(plain, draw_examples(env, config(number_lines_to=9), seed=0), strict=True):
        numbers = [int(step.text.split(".")[0]) for step in parse_trace(example.text).steps]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[-1] <= 9
        if not example.ignored:
            assert example == before
        else:
            ((start, end),) = example.ignored
            assert (start, example.text[:end]) == (0, str(numbers[0]))
            firsts[numbers[0]] += 1
            rest = re.sub(r"^[0-9]+", "", example.text, flags=re.MULTILINE)
            assert rest == re.sub(r"^[0-9]+", "", before.text, flags=re.MULTILINE)
    assert 0.6 < firsts.total() / len(plain) < 0.8
    assert set(range(1, 10 - longest + 1)) <= set(firsts)  # all that leave room for the longest


def test_lines_without_numbers_and_those_that_backtracks_name_are_not_numbered() -> None:
    with pytest.raises(
        ValueError, match="number_lines_to is 9, but lines of 'directional' begin with no number"
    ):
        draw_examples(make_env("directional"), config(number_lines_to=9), seed=0)
    with pytest.raises(
        ValidationError, match=r"number_lines_to is 9 and detour_frac is 0\.5, but backtracks name"
    ):
        config(number_lines_to=9, detour_frac=0.5)


def test_a_curriculum_comes_first() -> None:
    env = make_env("addition", {"train": ["3_3"]})
    easy = make_env("addition", {"train": ["2_2"]})
    first = {"settings": {"train": ["2_2"]}, "updates": 3}
    phases = make_phases(
        env, [easy], config(updates=5, curriculum=[first], batch_size=8, num_problems=20), seed=0
    )
    assert [(phase.updates, len(phase.examples)) for phase in phases] == [(3, 20), (2, 16)]
    assert list(phases[0].examples) == make_examples(easy, config(), num_problems=20, seed=0)
    assert list(phases[1].examples) == make_examples(env, config(), num_problems=16, seed=0)
    (only,) = make_phases(env, [easy], config(updates=3, curriculum=[first]), seed=0)
    assert only.updates == 3 and only.examples[0] == phases[0].examples[0]


def test_rows_are_ordered_by_phase_and_no_example_repeats_before_all_were_used(encoder: Encoder) -> None:
    examples = draw_examples(Detours(), config(), seed=0)
    phases = [Phase(examples=examples[:10], updates=6), Phase(examples=examples[10:50], updates=5)]
    rows = encode_phases(phases, encoder, batch_size=4, seed=0)["input_ids"]
    assert len(rows) == 11 * 4
    first, second = (Counter(map(tuple, part)) for part in (rows[:24], rows[24:]))
    all_first, all_second = (
        Counter(map(tuple, encode_examples(part, encoder)["input_ids"]))
        for part in (examples[:10], examples[10:50])
    )
    assert set(first) == set(all_first) and first >= all_first + all_first  # 2 times, and 4 of them once more
    assert sum(second.values()) == 20 and second <= all_second
    assert rows[:10] != rows[10:20] != [*encode_examples(examples[:10], encoder)["input_ids"]]
    assert rows == encode_phases(phases, encoder, batch_size=4, seed=0)["input_ids"]
    assert rows != encode_phases(phases, encoder, batch_size=4, seed=1)["input_ids"]


# ---- solutions from a user's data ----

FULL = ["She has 3 * 4 = 12 pens.", "Then 12 - 2 = 10 are left."]
PENS: dict[str, Any] = {
    "answer": "10",
    "solution": FULL,
    "skipped": ["3 * 4 - 2 = 10 are left."],
    "detours": {"lines": [FULL[0], "12 + 2 = 14 are left.", "Wait, she loses two.", FULL[1]], "wrong": [1]},
}
TWICE: dict[str, Any] = {"answer": "10", "solution": ["5 + 5 = 10"]}
BARE: dict[str, Any] = {"answer": "10"}


def own_data(folder: Path, *rows: dict[str, Any], **settings: Any) -> Env[Any]:
    lines = [json.dumps({"question": f"Question {i}?", "split": "train", **row}) for i, row in enumerate(rows)]
    lines.append(json.dumps({"question": "Held out?", "split": "test", "answer": "1"}))
    (folder / "data.jsonl").write_text("\n".join(lines))
    return make_env("math", {"train": str(folder / "data.jsonl"), **settings})


@pytest.mark.parametrize("steps", ["lines", "paragraphs", "sentences"])
def test_hand_written_traces_are_demonstrations(steps: str, tmp_path: Path) -> None:
    """Wrong lines get no loss wherever the task puts them, and budgets count what the grammar counts."""
    env = own_data(tmp_path, *[PENS] * 20, steps=steps)
    settings = config(skipped_frac=0.4, detour_frac=0.4, budget_frac=1.0)
    examples = make_examples(env, settings, num_problems=60, seed=0)
    assert {example.written for example in examples} == {TraceKind.FULL, TraceKind.SKIPPED, TraceKind.DETOUR}
    for example in examples:
        trace = env.check(example.problem, env.parse(example.text))
        assert trace.correct and trace.num_steps == example.problem.budget
        wrong = [example.text[start:end] for start, end in example.ignored]
        assert wrong == (["12 + 2 = 14 are left."] if example.written is TraceKind.DETOUR else [])


def test_rows_without_a_skipped_version_get_the_full_one_and_are_counted(tmp_path: Path) -> None:
    env = own_data(tmp_path, *[PENS, TWICE] * 10)
    examples = make_examples(env, config(skipped_frac=1.0), num_problems=20, seed=0)
    assert describe_mix(examples) == (
        "20 traces: 10 full, 10 with a step skipped; 10 of 20 with a step skipped did not fit their problem "
        "and are full ones"
    )


def test_only_rows_with_a_solution_are_learnt_from(tmp_path: Path) -> None:
    env = own_data(tmp_path, *[TWICE, BARE, BARE] * 7)
    examples = make_examples(env, config(), num_problems=30, seed=0)
    assert len(examples) == 30 and all(example.text.startswith("5 + 5 = 10") for example in examples)
    assert len({example.problem.question for example in examples}) == 7
    bare = own_data(tmp_path, BARE, BARE)
    with pytest.raises(
        ValueError, match=r"row \d has no worked solution to learn from; set warm_start to null"
    ):
        make_examples(bare, config(), num_problems=1, seed=0)


def test_skipping_without_skipped_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"skipped_frac is 0\.5, but 'math' has no rule to skip a step by"):
        make_examples(own_data(tmp_path, TWICE), config(skipped_frac=0.5), num_problems=1, seed=0)


def test_thought_dropout_leaves_the_closing_line_alone() -> None:
    env = make_env("directional")
    plain = draw_examples(env, config(skipped_frac=0.5), seed=1)
    dropped = draw_examples(env, config(skipped_frac=0.5, thought_dropout=0.4, budget_frac=0.0), seed=1)
    empty = [example for example in dropped if example.written is TraceKind.EMPTY]
    # 200 draws of 0.4: 80, and 35 is five standard deviations.
    assert 45 < len(empty) < 115
    assert all(example.text == f"Thus, the answer is {example.problem.answer}." for example in empty)
    # The others are those of a mix without dropout.
    assert all(a == b for a, b in zip(plain, dropped, strict=True) if b.written is not TraceKind.EMPTY)
    assert f"{len(empty)} without a step (thought dropout)" in describe_mix(dropped)
    asked = draw_examples(env, config(thought_dropout=1.0, budget_frac=1.0), seed=1)
    assert all("Let's solve it in 0 steps." in example.problem.prompt for example in asked)


def test_a_dropped_thought_is_empty_between_its_marks(encoder: Encoder) -> None:
    """TON writes two line ends between the marks."""
    thinking = replace(encoder, thinking=Thinking(), teaches_thought=True)
    [example] = make_examples(make_env("directional"), config(thought_dropout=1.0), num_problems=1, seed=0)
    assert thinking.taught(example.text) == f"<think>\n\n</think>\n\n{example.text}"
