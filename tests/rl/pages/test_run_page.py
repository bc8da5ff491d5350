"""The report of a run: its content and its escaping, for finished and unfinished runs."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from jinja2 import UndefinedError

import rl.pages
from envs import StepKind, Verdict
from rewards import Outcome
from rl.pages.render import _environment, attribute, clipped, visible
from rl.pages.run.curves import line_look
from rl.pages.run.origin import stride_command
from rl.pages.run.plots import Curve, curves
from rl.pages.run.trade_off import StagePoint, label_sides
from rl.pages.run.verdict import take_turns, verdict
from rl.pages.run.write import write_report
from rl.pages.svg import running_mean
from rl.runs.changes import Change, changes
from rl.runs.errors import RunFolderError
from rl.runs.log import evaluation_log, metrics_log
from rl.runs.read import read_run
from rl.runs.record import (
    JUDGING,
    BestModel,
    BucketResult,
    LengthResult,
    SampleRow,
    SplitResult,
    Stage,
    StepRow,
    Summary,
    UpdateRow,
)
from scripts.report import main
from tests.kit import runs_by_hand


def step(text: str, verdict: Verdict = Verdict.VALID, **more: Any) -> StepRow:
    return runs_by_hand.step(text, verdict=verdict, **more)


def result(accuracy: float, steps: float | None, full: float = 4.0, **more: Any) -> SplitResult:
    return runs_by_hand.split_result(accuracy, steps, full, **{"invalid_steps": 0.25, **more})


def row(stage: Stage, split: str, index: int, outcome: Outcome, steps: list[StepRow]) -> SampleRow:
    return runs_by_hand.sample(
        stage=stage,
        group=index,
        env="algebra",
        split=split,
        index=index,
        prompt="Solve ♥ ⊕ x = 3\nAnswer:\n",
        text="\n".join([*(s.text for s in steps), "Thus, the answer is 7."]),
        outcome=outcome,
        steps=tuple(steps),
    )


def warm_row(update: int, **metrics: float) -> UpdateRow:
    return UpdateRow(stage=Stage.WARM, update=update, metrics=metrics)


def grpo_row(update: int, **metrics: float) -> UpdateRow:
    usual = {
        "loss": 0.1,
        "reward": 0.5 + 0.001 * update,
        "reward/correct": 0.9,
        "reward/step_count": -0.4,
        "accuracy": 0.9,
        "backtracks": 0.0,
        "groups/useful_frac": 0.5,
        "groups/filled_frac": 1.0,
        "logprob_diff/max": 1e-5,
        "seconds/total": 2.0,
        "tokens_per_s": 15000.0 + update,
    }
    return UpdateRow(stage=Stage.GRPO, update=update, metrics=metrics or usual)


Stages = dict[Stage, dict[str, SplitResult]]


def make_run(
    folder: Path,
    stages: Stages | None = None,
    rows: Sequence[SampleRow] = (),
    metrics: Sequence[UpdateRow] = (),
    **config: Any,
) -> Path:
    (folder / "eval").mkdir(parents=True, exist_ok=True)
    whole = {"name": "try", "env": {"name": "algebra"}, "warm_start": {"updates": 1}, "grpo": {"updates": 1}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**whole, **config}))
    metrics_log(folder).append(*metrics)
    if stages is not None:
        runs_by_hand.write_summary(folder, Summary(stages=stages, train_s={Stage.GRPO: 75.0}))
    for one in rows:
        evaluation_log(folder, one.stage).append(one)
    return folder


STAGES = {
    Stage.BASE: {"id": result(0.0, None), "ood_easy": result(0.0, None)},
    Stage.WARM: {"id": result(0.9, 4.0), "ood_easy": result(0.0, None)},
    Stage.GRPO: {"id": result(1.0, 3.0), "ood_easy": result(0.0, None)},
}
ROWS = [
    row(Stage.WARM, "id", 0, Outcome.VERIFIED, [step(f"line {n}") for n in range(4)]),
    row(Stage.GRPO, "id", 0, Outcome.VERIFIED, [step("x ⊕ 1 → 2"), step("x = 7")]),
    row(
        Stage.WARM,
        "id",
        1,
        Outcome.WRONG,
        [step("<script>alert(1)</script>", Verdict.INVALID, reason="not <b>bold</b>")],
    ),
    row(
        Stage.GRPO,
        "id",
        1,
        Outcome.CORRECT,
        [
            step("go back\u202e now\x07", undone=True),
            step("<backtrack> 0", kind=StepKind.BACKTRACK),
            step("x = 7", Verdict.UNCHECKED),
        ],
    ),
    row(Stage.WARM, "ood_easy", 0, Outcome.TRUNCATED, []),
    row(Stage.GRPO, "ood_easy", 0, Outcome.MALFORMED, [step("hm", Verdict.INVALID, reason="not a rule")]),
]
METRICS = [warm_row(n, loss=3.0 / n) for n in range(1, 60)] + [grpo_row(n) for n in range(1, 60)]


@pytest.fixture
def full_run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", STAGES, ROWS, METRICS)


def page_of(folder: Path) -> str:
    path = write_report(folder)
    assert path == folder / "report.html"
    page = path.read_text()
    assert "NaN" not in page and ">nan" not in page and "None" not in page
    return page


def test_verdict_by_hand(full_run: Path) -> None:
    # steps: 3 of warm's 4: 1 - 3 / 4 = 25 % fewer; the full traces have 4 as well
    assert verdict(read_run(full_run)) == (
        "GRPO: 100.0 % correct on id (warm start 90.0 %) with 3.00 steps per correct answer: 25 % fewer than "
        "the warm start, 25 % fewer than the full traces. No correct answer on ood_easy."
    )


def test_verdict_says_more_and_as_many(tmp_path: Path) -> None:
    # 4.4 / 4 = 1.1: 10 % more; 4.4 / 4.4: as many
    stages = {Stage.BASE: {"id": result(0.5, 4.0)}, Stage.GRPO: {"id": result(0.4, 4.4, full=4.4)}}
    assert verdict(read_run(make_run(tmp_path, stages, warm_start=None))) == (
        "GRPO: 40.0 % correct on id (base 50.0 %) with 4.40 steps per correct answer: 10 % more than the base, "
        "as many as the full traces."
    )


def test_verdict_without_correct_answers(tmp_path: Path) -> None:
    text = verdict(read_run(make_run(tmp_path, {Stage.BASE: {"id": result(0.0, None)}}, metrics=METRICS[:3])))
    assert text == (
        "base: 0.0 % correct on id, so no steps per correct answer can be given. Unfinished: warm start "
        "and GRPO not evaluated yet (updates logged: 3 of warm start)."
    )


def test_verdict_on_other_splits(tmp_path: Path) -> None:
    stages = {
        Stage.WARM: {"id": result(0.9, 4.0), "ood_easy": result(0.2, 5.0), "ood_hard": result(0.1, 6.0)},
        Stage.GRPO: {"id": result(1.0, 3.0), "ood_easy": result(0.3, 4.0), "ood_hard": result(0.0, None)},
        Stage.BASE: {"id": result(0.0, None)},
    }
    assert verdict(read_run(make_run(tmp_path, stages))).endswith(
        "Correct elsewhere: ood_easy 30.0 % (warm start 20.0 %). No correct answer on ood_hard."
    )


def test_page_needs_nothing_else(full_run: Path) -> None:
    page = page_of(full_run)
    assert not re.search(r"\bsrc\s*=|href\s*=\s*(?!\"#)", page)
    assert "http://" not in page and "https://" not in page and "@import" not in page and "<script" not in page
    assert not re.search(r"url\((?!#)", page)


def test_svg_ids_are_unique_and_references_resolve(full_run: Path) -> None:
    page = page_of(full_run)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:url\(|href=")#([^)"]+)', page)
    assert used and set(used) <= set(ids)


def test_model_text_is_escaped_and_control_characters_shown(full_run: Path) -> None:
    page = page_of(full_run)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "not &lt;b&gt;bold&lt;/b&gt;" in page
    assert "[U+202E]" in page and "\u202e" not in page
    assert "[U+0007]" in page and "\x07" not in page
    assert "Solve ♥ ⊕ x = 3" in page and "x ⊕ 1 → 2" in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a & 'b'", "a &amp; &#39;b&#39;"),
        ("\t", '<span class="ctl">⇥</span>'),
        ("\n" * 128, '<span class="ctl">↵ ×128</span>'),
        ("\ud800", '<span class="ctl">[U+D800]</span>'),
        ("aaaaaaaa", "aaaaaaaa"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_steps_of_several_lines_keep_them() -> None:
    assert clipped("a\n<b>", newlines=True) == "a\n&lt;b&gt;"
    assert clipped("a\nb", 2, newlines=True) == 'a\n <span class="ctl">… 1 more characters</span>'


def test_text_in_an_attribute_has_no_tags() -> None:
    shown = attribute('a\u202e"><b>\t')
    assert shown == "a[U+202E]&#34;&gt;&lt;b&gt;⇥"


def test_templates_print_visible_text_without_a_filter() -> None:
    """A template that forgets to escape or to name a value cannot do harm."""
    templates = _environment()
    shown = templates.from_string("{{ text }}|{{ nothing }}").render(text="<i>\u202e", nothing=None)
    assert shown == '&lt;i&gt;<span class="ctl">[U+202E]</span>|–'
    with pytest.raises(UndefinedError):
        templates.from_string("{{ absent }}").render()


def test_templates_use_neither_safe_nor_styles() -> None:
    for path in Path(rl.pages.__file__).parent.glob("templates/*.html"):
        text = path.read_text()
        assert not re.search(r"\|\s*safe|autoescape|<script|style=", text), path.name
        for attribute_text in re.findall(r'="([^"]*\{\{[^"]*)"', text):
            printed = re.findall(r"\{\{(.*?)\}\}", attribute_text)
            allowed = ("|attribute", '" if ', "|length - 1")
            assert all(any(part in one for part in allowed) for one in printed), (path.name, attribute_text)


def test_a_long_page_has_a_table_of_contents(full_run: Path) -> None:
    page = page_of(full_run)
    contents = re.search(r'<nav class="contents".*?</nav>', page, re.DOTALL)
    assert contents
    listed = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', contents[0])
    assert listed == re.findall(r'<h2 id="([^"]+)">([^<]+)</h2>', page)
    assert len(listed) > 5
    assert page.index("</nav>") < page.index("<h2")


def test_the_page_names_the_model_the_viewer_and_the_command(tmp_path: Path) -> None:
    summary = Summary(stages=STAGES, updates={Stage.WARM: 5, Stage.GRPO: 9})
    run = make_run(tmp_path / "run", metrics=METRICS[:2], output_dir="runs/my run")
    runs_by_hand.write_summary(run, summary)
    command = ["/usr/bin/stride", "train", "quickstart", "rewards.terms=[{name: correct}]"]
    (run / "provenance.json").write_text(json.dumps({"command": command}))
    page = html.unescape(page_of(run))
    assert "<dd><code>runs/my run/models/grpo</code></dd>" in page
    assert "<code>stride rollouts 'runs/my run'</code>" in page
    assert "<code>stride train quickstart 'rewards.terms=[{name: correct}]'</code>" in page
    assert "rollouts.html" not in page
    (run / "rollouts.html").write_text("")
    assert '<a href="rollouts.html">' in page_of(run)


@pytest.mark.parametrize(
    ("recorded", "command"),
    [
        (["train.py", "quickstart", "seed=1"], "stride train quickstart seed=1"),
        (["stride", "train", "a b.yaml"], "stride train 'a b.yaml'"),
        (["default_worker.py", "--node-ip"], ""),
        ([], ""),
        (None, ""),
    ],
)
def test_a_recorded_command_can_be_typed_again(recorded: object, command: str) -> None:
    assert stride_command(recorded) == command


def test_all_lines_of_a_panel_look_different() -> None:
    looks = [line_look(place) for place in range(18)]
    assert len(set(looks)) == 18


def test_an_axis_of_shares_ends_at_100(full_run: Path) -> None:
    line = Curve(values=[97.0, 100.0], colour="line1", style="solid")
    svg = curves([1, 2], [line], unit="%", from_zero=True, logarithmic=False, window=1, name="a", alt="shares")
    numbers = [float(text) for text in re.findall(r">([0-9.]+)</text>", svg)]
    assert max(numbers) == 100


def test_every_stage_and_split_is_in_the_table(full_run: Path) -> None:
    table = re.search(r"<table>.*?</table>", page_of(full_run), re.DOTALL)
    assert table
    groups = re.split(r'<tr class="group">', table[0])[1:]
    assert [re.findall(r"rowgroup\">(\w+)", group) for group in groups] == [["id"], ["ood_easy"]]
    for group in groups:
        stages = re.findall(r'<tr><th scope="row">.*?</span>([\w ]+)</th>', group)
        assert stages == [Stage.BASE, "warm start", "GRPO"]
    width = len(re.findall(r'scope="col"', table[0]))
    for line in re.findall(r'<tr><th scope="row">.*?</tr>', table[0]):
        assert line.count("<td>") == width - 1
    assert "90.0 %<small>80.0–100.0</small>" in groups[0]


def test_sampled_figures_have_columns_for_every_k(tmp_path: Path) -> None:
    sampled = result(0.9, 3.0, sampled_accuracy=0.75, pass_at_k={"1": 0.75, "2": 0.875, "4": 0.95})
    page = page_of(
        make_run(tmp_path, {Stage.BASE: {"id": result(0.5, 3.5)}, Stage.WARM: {"id": sampled}}, grpo=None)
    )
    for text in ("mean@4", "pass@2", "pass@4", "75.0 %", "87.5 %", "95.0 %"):
        assert text in page
    assert "pass@1" not in page


def test_accuracy_by_length_is_drawn_and_listed(tmp_path: Path) -> None:
    def within(*shares: float) -> dict[str, LengthResult]:
        return {
            str(limit): LengthResult(
                accuracy=share, accuracy_low=0.0, accuracy_high=1.0, tokens=float(limit), truncated=0.1
            )
            for limit, share in zip((16, 1024), shares, strict=True)
        }

    stages = {
        Stage.WARM: {"id": result(0.5, 3.0, by_length=within(0.125, 0.5)), "ood_easy": result(0.0, None)},
        Stage.GRPO: {"id": result(0.75, 2.0, by_length=within(0.625, 0.75))},
    }
    page = page_of(make_run(tmp_path, stages))
    assert 'aria-label="Accuracy against allowed length on id"' in page and "length on ood_easy" not in page
    table = page[page.index('aria-label="accuracy by length limit in tokens"') :]
    for text in ('<th scope="col">1,024</th>', "<td>12.5 %</td>", "<td>62.5 %</td>"):
        assert text in table
    assert "allowed length" not in page_of(make_run(tmp_path / "without", STAGES))


def test_evaluations_during_grpo_are_drawn_with_marks(tmp_path: Path) -> None:
    rows = [grpo_row(update) for update in range(1, 9)]
    rows[3] = grpo_row(4, **{**rows[3].metrics, "eval_id/accuracy": 0.25, "eval_id/tokens": 20.0})
    rows[7] = grpo_row(8, **{**rows[7].metrics, "eval_id/accuracy": 0.5, "eval_id/tokens": 10.0})
    best = BestModel(
        update=8,
        metric="accuracy",
        split="id",
        num_problems=40,
        accuracy=0.5,
        verified=0.5,
        steps_per_correct=2.5,
        highest_accuracy=0.5,
    )
    folder = make_run(tmp_path, STAGES, ROWS, rows, output_dir="runs/try")
    runs_by_hand.write_summary(folder, Summary(stages=STAGES, updates={Stage.GRPO: 8}, best=best, stopped=8))
    page = page_of(folder)
    assert "Evaluation: correct" in page and "Evaluation: length" in page
    assert "Evaluation: steps per correct answer" not in page  # not logged
    plot = page[page.index('aria-label="Evaluation: correct over updates"') :]
    plot = plot[: plot.index("</svg>")]
    assert plot.count("<use ") >= 2  # a mark at each of the two
    assert "GRPO was stopped early after update 8 (eval.patience)." in page
    assert (
        "<code>runs/try/models/best</code>, of update 8: 50.0 % correct at 2.50 steps on 40 problems of id "
        "(the best by accuracy)" in page
    )


def test_splits_without_correct_answers_are_named(full_run: Path) -> None:
    page = page_of(full_run)
    assert "<b>ood_easy</b>: no correct answer in 10 problems from base or warm start or GRPO." in page
    assert "Not in the plot, without a correct answer: base." in page
    assert 'aria-label="Accuracy against steps per correct answer on id"' in page


def test_steps_are_marked(full_run: Path) -> None:
    page = page_of(full_run)
    for verdict_, mark in (("valid", "✓"), ("invalid", "✗"), ("unchecked", "·")):
        assert f'aria-label="{verdict_}" title="{verdict_}">{mark}<' in page
    assert "<em>not a rule</em>" in page
    assert "↩ &lt;backtrack&gt; 0" in page
    assert re.search(r"<s>go back.*?</s><em class=\"plain\">undone by a backtrack", page)


def test_steps_of_backtracks_are_not_counted(full_run: Path) -> None:
    # problem 1 after GRPO: two forward steps (one undone) and a backtrack
    assert "correct</span><span>2 of 4 steps</span>" in page_of(full_run)


def test_same_bytes_twice_and_in_a_few_seconds(full_run: Path) -> None:
    first = write_report(full_run).read_bytes()
    started = time.perf_counter()
    second = write_report(full_run).read_bytes()
    assert first == second
    assert time.perf_counter() - started < 15  # about 1 s on two idle cores


def test_changes_count_each_problem_once() -> None:
    def rows(*outcomes: tuple[Outcome, int]) -> dict[int, SampleRow]:
        return {
            index: row(Stage.WARM, "id", index, outcome, [step("s")] * num)
            for index, (outcome, num) in enumerate(outcomes)
        }

    before = rows(
        (Outcome.VERIFIED, 3),
        (Outcome.WRONG, 3),
        (Outcome.CORRECT, 3),
        (Outcome.VERIFIED, 3),
        (Outcome.VERIFIED, 3),
        (Outcome.WRONG, 1),
    )
    after = rows(
        (Outcome.WRONG, 3),
        (Outcome.VERIFIED, 3),
        (Outcome.VERIFIED, 2),
        (Outcome.VERIFIED, 1),
        (Outcome.VERIFIED, 4),
        (Outcome.MALFORMED, 0),
    )
    assert changes(before, after) == {
        Change.LOST: [0],
        Change.MORE: [4],
        Change.NEITHER: [5],
        Change.SAME: [],
        Change.FEWER: [3, 2],  # two steps saved before one
        Change.GAINED: [1],
    }


def test_turns_show_bad_news_before_more_good_news() -> None:
    assert take_turns([[7], [], [1, 2, 3]], 3) == [7, 1, 2]
    assert take_turns([[1, 2, 3, 4], [5], [6, 7]], 4) == [1, 2, 5, 6]
    assert take_turns([[], [1]], 8) == [1]


def test_running_mean_by_hand() -> None:
    np.testing.assert_allclose(running_mean([1, 2, 6], 3), [1.5, 3, 4])
    np.testing.assert_allclose(running_mean([1, 2, 6], 1), [1, 2, 6])
    # the middle value is not known: it stays a gap and does not count
    np.testing.assert_allclose(running_mean([1, np.nan, 6], 3), [1, np.nan, 6])


def test_tick_labels_are_not_shortened() -> None:
    line = Curve(values=[0.0, 0.015], colour="line1", style="solid")
    svg = curves([1, 2], [line], unit="", from_zero=True, logarithmic=False, window=1, name="a", alt="values")
    labels = [float(text) for text in re.findall(r">([0-9.]+)</text>", svg)]
    y_labels = labels[-4:]
    assert len(set(np.diff(y_labels).round(6))) == 1  # evenly spaced, as they are drawn


def test_labels_keep_off_each_other_and_stay_inside() -> None:
    def point(stage: Stage, steps: float) -> StagePoint:
        return StagePoint(stage=stage, steps=steps, accuracy=0.5, low=0.45, high=0.55)

    same = label_sides([point(Stage.WARM, 3.0), point(Stage.GRPO, 3.0)], 4.0, (2.0, 5.0), (0.0, 100.0))
    assert same[0] != same[1]
    assert label_sides([point(Stage.WARM, 4.9)], 4.0, (2.0, 5.0), (0.0, 100.0))[0][0] == -1
    assert label_sides([point(Stage.WARM, 2.1)], 4.0, (2.0, 5.0), (0.0, 100.0))[0][0] == 1


@pytest.mark.parametrize(
    ("stages", "rows", "metrics", "config"),
    [
        (None, [], [], {}),
        ({}, [], METRICS[:1], {}),
        ({Stage.BASE: STAGES[Stage.BASE]}, [], [], {}),
        ({Stage.BASE: STAGES[Stage.WARM]}, [], [], {"warm_start": None, "grpo": None}),
        ({Stage.BASE: STAGES[Stage.WARM], Stage.GRPO: STAGES[Stage.GRPO]}, ROWS, METRICS, {"warm_start": None}),
        (
            {Stage.BASE: {"id": STAGES[Stage.BASE]["id"]}, Stage.WARM: {"id": STAGES[Stage.WARM]["id"]}},
            ROWS,
            [],
            {"grpo": None},
        ),
        ({Stage.WARM: {"id": result(0.5, 4.0)}, Stage.GRPO: {"id": result(0.5, 4.0)}}, ROWS[:2], METRICS, {}),
        (STAGES, ROWS, [grpo_row(1, loss=0.0, reward=float("nan"))], {}),
    ],
    ids=[
        "nothing",
        "one update",
        "base",
        "only base",
        "no warm start",
        "no grpo",
        "no change",
        "not a number",
    ],
)
def test_any_run_has_a_report(
    tmp_path: Path,
    stages: Stages | None,
    rows: list[SampleRow],
    metrics: list[UpdateRow],
    config: dict[str, Any],
) -> None:
    page = page_of(make_run(tmp_path, stages, rows, metrics, **config))
    planned = {"warm_start": Stage.WARM, "grpo": Stage.GRPO}
    unfinished = [key for key in planned if config.get(key, "default") and planned[key] not in (stages or {})]
    assert ("Unfinished" in page) == (bool(unfinished) or Stage.BASE not in (stages or {}))


def test_a_single_stage_shows_solved_and_unsolved(tmp_path: Path) -> None:
    rows = [
        row(Stage.BASE, "id", 0, Outcome.VERIFIED, [step("a")]),
        row(Stage.BASE, "id", 1, Outcome.WRONG, [step("b")]),
    ]
    page = page_of(make_run(tmp_path, {Stage.BASE: {"id": result(0.5, 1.0)}}, rows, warm_start=None, grpo=None))
    assert "<b>1</b> not solved" in page and "<b>1</b> solved" in page


def test_cut_off_last_line_of_a_killed_run_is_left_out(full_run: Path) -> None:
    with (full_run / "metrics.jsonl").open("a") as file:
        file.write('{"stage": Stage.GRPO, "upd')
    assert "GRPO: 59 updates" in page_of(full_run)


def test_provenance_and_config(full_run: Path) -> None:
    (full_run / "provenance.json").write_text(
        json.dumps(
            {
                "command": ["train.py", "a<b.yaml"],
                "git_revision": "abc123",
                "git_changed_files": 1,
                "python": "3.11.7",
                "packages": {"torch": "2.13.0"},
                "machine": {"system": "Linux", "cores": 2},
            }
        )
    )
    page = page_of(full_run)
    for text in (
        "stride train &#39;a&lt;b.yaml&#39;",
        "abc123</code> with 1 changed file on top",
        "torch 2.13.0",
        "2 cores",
    ):
        assert text in page
    assert "<dt>Time training GRPO</dt><dd>1 min 15 s</dd>" in page
    config = re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert config and yaml.safe_load(html.unescape(config[1]))["env"] == {"name": "algebra"}


def test_script_writes_the_report(full_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(full_run)]) == 0
    assert capsys.readouterr().out == f"report: {full_run / 'report.html'}\n"


def test_script_names_the_mistake_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = make_run(tmp_path / "damaged", {})
    (damaged / "summary.json").write_text("{")
    for folder, word in (
        (tmp_path / "absent", "no run"),
        (tmp_path / "damaged" / "eval", "no run"),
        (damaged, "summary.json"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main([str(folder)])
        error = capsys.readouterr().err
        assert stopped.value.code == 2 and error.count("\n") == 1 and word in error
    with pytest.raises(RunFolderError):
        write_report(tmp_path)


# ---- backtracks and errors ----


def test_without_backtracks_and_errors_there_is_no_section(full_run: Path) -> None:
    assert "Backtracks and errors" not in page_of(full_run)


def test_backtracks_are_shown_by_kind(tmp_path: Path) -> None:
    found = {
        "backtracks": 2.0,
        "real_backtracks": 1.5,
        "fake_backtracks": 0.5,
        "needed_backtracks": 0.25,
        "needless_backtracks": 1.25,
        "backtrack_depth": 3.0,
        "wasted_steps": 4.5,
        "straight_back": 0.125,
    }
    stages = {Stage.WARM: {"id": result(0.9, 3.0, **found)}, Stage.GRPO: {"id": result(0.9, 2.0)}}
    page = page_of(make_run(tmp_path, stages))
    section = page[page.index('">Backtracks and errors</h2>') : page.index('">Training</h2>')]
    row = re.search(r'<th scope="row">[^/]*</span>warm start</th>(.*?)</tr>', section)
    assert row is not None
    cells = ["2.00", "1.50", "0.50", "0.25", "1.25", "3.00", "4.50", "0.12"]
    assert re.findall(r"<td>(.*?)</td>", row[1]) == cells
    assert 'aria-label="Backtracks per trace: warm start 2.00; GRPO 0.00"' in section
    assert "first wrong line" not in section


def test_errors_are_shown_by_category(tmp_path: Path) -> None:
    stages = {
        Stage.WARM: {"id": result(0.9, 3.0, errors={"queue": 0.25, "<b>": 0.5})},
        Stage.GRPO: {"id": result(0.9, 3.0, errors={})},
    }
    page = page_of(make_run(tmp_path, stages))
    section = page[page.index('">Backtracks and errors</h2>') : page.index('">Training</h2>')]
    assert '<th scope="col">&lt;b&gt;</th><th scope="col">queue</th>' in section
    assert "<td>50.0 %</td><td>25.0 %</td>" in section and "<td>0.0 %</td><td>0.0 %</td>" in section
    assert "<svg" not in section


def test_buckets_are_shown_with_their_errors(tmp_path: Path) -> None:
    bucket = runs_by_hand.bucket_result
    going_back = replace(bucket(1.0), steps_per_correct=4.5, backtracks_per_correct=1.25, straight_back=0.625)
    warm = {"2_1": bucket(0.75, queue=0.25), "<i>": going_back}
    stages = {
        Stage.WARM: {"id": result(0.9, 3.0, buckets=warm)},
        Stage.GRPO: {"id": result(0.9, 3.0, buckets={"2_1": bucket(0.5, queue=0.0, revisit=0.5)})},
    }
    page = page_of(make_run(tmp_path, stages))
    section = page[page.index('">Results by difficulty bucket</h2>') : page.index('">Training</h2>')]
    assert re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', section) == [
        (
            "2_1",
            "<td>40</td><td>75.0 %<small>queue 25.0 %</small></td><td>50.0 %<small>revisit 50.0 %</small></td>",
        ),
        (
            "&lt;i&gt;",
            "<td>40</td><td>100.0 %<small>4.50 steps</small><small>1.25 backtracks</small>"
            "<small>62.5 % straight back</small></td><td>–</td>",
        ),
    ]
    assert "Results by difficulty bucket" not in page_of(
        make_run(tmp_path / "none", {Stage.WARM: {"id": result(0.9, 3.0)}})
    )


def test_steps_are_drawn_by_bucket(tmp_path: Path) -> None:
    def buckets(*steps: float | None) -> dict[str, BucketResult]:
        made = zip(("2x1_1-1", "2x2_1-1", "2x3_1-1"), steps, strict=True)
        return {name: replace(runs_by_hand.bucket_result(0.5), steps_per_correct=one) for name, one in made}

    stages = {
        Stage.BASE: {"id": result(0.0, None, buckets=buckets(None, None, None))},
        Stage.WARM: {"id": result(0.9, 3.0, buckets=buckets(4.0, 6.0, 9.0))},
        Stage.GRPO: {"id": result(0.9, 3.0, buckets=buckets(4.0, None, 5.25))},
    }
    page = page_of(make_run(tmp_path, stages))
    section = page[page.index('">Results by difficulty bucket</h2>') : page.index('">Training</h2>')]
    assert "50.0 %<small>9.00 steps</small></td><td>50.0 %<small>5.25 steps</small>" in section
    said = "warm start: 2x1_1-1 4.00, 2x2_1-1 6.00, 2x3_1-1 9.00; GRPO: 2x1_1-1 4.00, 2x2_1-1 –, 2x3_1-1 5.25"
    assert f"Steps per correct answer by difficulty bucket on id; {said}" in section
    # The base has no right answer, so it is not drawn, and the legend does not name it.
    legend = re.search(r'<ul class="legend">(.*?)</ul>', section)
    assert legend is not None and re.findall(r"</span>([^<]+)</li>", legend[1]) == ["warm start", "GRPO"]

    counted = {stage: {"id": replace(found["id"], **dict.fromkeys(JUDGING))} for stage, found in stages.items()}
    page = page_of(make_run(tmp_path / "counted", counted))
    section = page[page.index('">Results by difficulty bucket</h2>') : page.index('">Training</h2>')]
    assert "<small>9.00 steps counted</small>" in section and "undone" not in section
    assert f"Steps counted per correct answer by difficulty bucket on id; {said}" in section


def test_merged_lines_and_empty_thoughts_are_shown_where_there_are_any(tmp_path: Path) -> None:
    empty = {"2": 0.75, "11": 0.0}
    stages = {
        Stage.WARM: {"id": result(0.9, 3.0, merged_lines=0.25, empty_thoughts=0.5, empty_by_difficulty=empty)},
        Stage.GRPO: {"id": result(0.9, 3.0, merged_lines=0.0, empty_thoughts=0.0)},
    }
    page = page_of(make_run(tmp_path / "some", stages))
    headline = page[page.index('">Results</h2>') : page.index("More figures")]
    assert '<th scope="col">Merged lines</th><th scope="col">Empty thoughts</th>' in headline
    assert "<td>25.0 %</td><td>50.0 %</td>" in headline and "<td>0.0 %</td><td>0.0 %</td>" in headline
    assert "Merged lines do more than one elementary step" in headline
    section = page[page.index('">Empty thoughts by difficulty</h2>') : page.index('">Training</h2>')]
    assert re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', section) == [
        ("2", "<td>75.0 %</td><td>0.0 %</td>"),
        ("11", "<td>0.0 %</td><td>0.0 %</td>"),
    ]
    none = page_of(make_run(tmp_path / "none", {Stage.WARM: {"id": result(0.9, 3.0, empty_thoughts=0.0)}}))
    assert "Merged lines" not in none and "mpty thought" not in none
