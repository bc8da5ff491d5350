"""Figures of the evaluation, worked by hand."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest

from configs import Config, ConfigError, check_config
from envs import GraderError, Problem, Split, Trace, make_env, make_example
from envs.line_facts import LineFacts, LineUse, line_facts
from rewards import RewardSum, Term
from rl.evaluate import evaluate, length_limits, num_completions
from rl.pages.text import result_table
from rl.runs.record import SplitResult, Stage
from rl.stats.intervals import clustered_interval, pass_at_k, wilson_interval
from rl.summarise import summarise
from rollout.types import GroupRequest, RolloutGroup, Sampling
from tests.kit import directional
from tests.kit.directional import END, TURNS
from tests.kit.problems import check_text
from tests.kit.rollouts import make_group, score_texts, without_graded
from tests.kit.scripted_pool import ScriptedPool

ENV = make_env("directional")
REWARDS = RewardSum([Term(name="correct", weight=1.0)])
PROBLEM = replace(TURNS, split=Split.ID)
FULL, SKIP = f"{directional.FULL}{END}", f"{directional.SKIP}{END}"  # 3 steps, 2 steps
DETOUR = f"{directional.DETOUR}{SKIP}"  # 3 steps, 1 undone, 1 real backtrack
AGAIN = f"{directional.LOOP}{FULL}"  # 4 steps, 1 undone, a fake backtrack
BARE = END  # right, no step
BROKEN = f"east. around\n{SKIP}"  # right, 3 steps, 1 invalid
WRONG = "north. around\nThus, the answer is west."  # 1 step
CUT = "west. right, around\nnorth. aro"  # 2 steps, the second invalid


def group(*texts: str, problem: Problem = PROBLEM) -> RolloutGroup:
    """Completions of ten tokens and one for each line."""
    traces = [check_text(problem, text, truncated=text is CUT) for text in texts]
    lengths = [10 + len(trace.steps) for trace in traces]
    samples = score_texts(problem, traces, texts, lengths, REWARDS)
    return make_group(problem, [replace(one, facts=line_facts(ENV, problem, one.trace)) for one in samples])


# ---- statistics ----


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # z² = 3.841458. 8 of 10: centre (0.8 + 0.192073) / 1.384146 = 0.716740,
        # half 1.959964 / 1.384146 * sqrt(0.016 + 0.0096036) = 0.226577.
        (8, 10, 0.490163, 0.943317),
        # 0 of n: from 0 to z² / (n + z²).
        (0, 10, 0.0, 0.277533),
        (0, 1, 0.0, 0.793451),
        # n of n: from n / (n + z²) to 1.
        (10, 10, 0.722467, 1.0),
        # Half of 100: 0.5 ± 1.959964 * sqrt(0.0025 + 3.841458 / 40000) / 1.03841458 = 0.096171.
        (50, 100, 0.403830, 0.596170),
    ],
)
def test_wilson_interval(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=2e-6)


def test_wilson_intervals_hold_the_share_and_narrow() -> None:
    for trials in (1, 3, 50, 2000):
        for successes in {0, 1, trials // 2, trials}:
            low, high = wilson_interval(successes, trials)
            assert 0 <= low <= successes / trials <= high <= 1
            wide_low, wide_high = wilson_interval(successes, trials)
            low, high = wilson_interval(4 * successes, 4 * trials)
            assert high - low < wide_high - wide_low


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 3), (4, 3)])
def test_impossible_counts(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"{successes} successes of {trials} trials"):
        wilson_interval(successes, trials)


@pytest.mark.parametrize(
    ("n", "c", "k", "chance"),
    [
        (4, 1, 1, 0.25),
        (4, 1, 2, 0.5),  # 1 - C(3,2) / C(4,2) = 1 - 3/6
        (4, 2, 2, 5 / 6),  # 1 - 1/6
        (8, 3, 4, 13 / 14),  # 1 - C(5,4) / C(8,4) = 1 - 5/70
        (4, 3, 2, 1.0),  # two of four cannot both be the wrong one
        (4, 0, 4, 0.0),
        (1, 1, 1, 1.0),
    ],
)
def test_pass_at_k(n: int, c: int, k: int, chance: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(chance)


def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_one() -> None:
    for n in range(1, 7):
        for c in range(n + 1):
            for k in range(1, n + 1):
                draws = list(combinations([i < c for i in range(n)], k))
                assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


# ---- one split ----


def test_greedy_figures() -> None:
    texts = [FULL, SKIP, DETOUR, AGAIN, BARE, BROKEN, WRONG, CUT]
    result = summarise([group(text) for text in texts])
    assert result.num_problems == 8
    assert result.accuracy == 6 / 8
    assert (result.accuracy_low, result.accuracy_high) == wilson_interval(6, 8)
    assert result.verified == 4 / 8
    # Right ones took 3, 2, 3, 4, 0 and 3 steps: 15 / 6.
    assert result.steps_per_correct == 15 / 6
    assert result.full_steps_per_correct == 3
    assert result.full_steps == 3
    # 0, 1/3, 0, -1/3, 1 and 0 of three steps saved: 1 / 6.
    assert result.steps_saved == pytest.approx(1 / 6)
    assert result.invalid_steps == 2 / 8
    assert result.backtracks == 2 / 8
    assert (result.real_backtracks, result.fake_backtracks) == (1 / 8, 1 / 8)
    # Both left a step that was right; each took one line back.
    assert (result.needed_backtracks, result.needless_backtracks, result.backtrack_depth) == (0, 2 / 8, 1.0)
    assert result.errors == {}  # the task names none
    assert result.wasted_steps == 2 / 8
    # Ten tokens and one a line: 3 + 2 + 4 + 5 + 0 + 3 + 1 + 2 = 20 lines.
    assert result.tokens == 10 + 20 / 8
    assert result.truncated == 1 / 8
    assert (result.sampled_accuracy, result.sampled_steps_per_correct, result.pass_at_k) == (None, None, {})


JUDGING = (
    *("verified", "steps_saved", "merged_lines", "invalid_steps", "wasted_steps", "backtrack_depth"),
    *("needed_lines", "skippable_lines", "wasted_lines", "wrong_lines", "straight_back"),
    *("real_backtracks", "fake_backtracks", "needed_backtracks", "needless_backtracks"),
)


def test_figures_that_judge_steps_are_of_checked_steps_alone() -> None:
    env = make_example("math", steps="paragraphs")
    problem = replace(env.problem(Split.ID, 0), num_full_steps=4)
    end = f"Thus, the answer is {problem.answer}."
    texts = [f"2 + 2 = 5\n\n{end}", f"So 3.\n\nWait, no.\n<backtrack>\nSo 4.\n\n{end}"]
    traces = [env.check(problem, env.parse(text)) for text in texts]
    counted = make_group(problem, score_texts(problem, traces, texts, [9, 9], REWARDS))
    result = summarise([], [counted])
    assert [getattr(result, name) for name in JUDGING] == [None] * len(JUDGING)
    assert (result.accuracy, result.steps_per_correct, result.full_steps_per_correct) == (1.0, (1 + 3) / 2, 4)
    assert result.backtracks == (0 + 2) / 2
    # Beside a task that checks its steps, the figures are of that task's completions.
    mixed = summarise([], [counted, group(FULL, BROKEN)])
    assert (mixed.accuracy, mixed.verified, mixed.invalid_steps) == (1.0, 1 / 2, 1 / 2)
    assert (mixed.steps_saved, mixed.wasted_steps) == (0.0, 0.0)
    assert SplitResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_errors_are_counted_by_the_first_of_each_trace() -> None:
    def first_error(problem: Problem, trace: Trace) -> str | None:
        return None if trace.verified else f"{trace.num_invalid} wrong"

    texts = [FULL, BROKEN, WRONG, CUT, CUT]
    assert summarise([group(text) for text in texts], first_error=first_error).errors == {
        "0 wrong": 1 / 5,
        "1 wrong": 3 / 5,
    }


def test_difficulty_buckets_are_counted_separately() -> None:
    def first_error(problem: Problem, trace: Trace) -> str | None:
        return None if trace.verified else "invalid"

    one = replace(PROBLEM, question="You face north. Actions: left", answer="west", num_full_steps=1)
    groups = [group(FULL), group(BROKEN), group(WRONG), group("west\nThus, the answer is west.", problem=one)]
    result = summarise(groups, first_error=first_error, bucket=ENV.bucket)
    assert list(result.buckets) == ["1", "3"]  # a bucket of the task is a number of actions
    first, second = result.buckets.values()
    assert (first.num_problems, first.accuracy, first.errors) == (1, 1.0, {})
    assert (second.num_problems, second.accuracy, second.errors) == (3, 2 / 3, {"invalid": 2 / 3})
    assert (second.accuracy_low, second.accuracy_high) == wilson_interval(2, 3)
    assert (first.steps_per_correct, second.steps_per_correct) == (1, 3)  # 1; 3 and 3, the wrong one left out
    assert (first.backtracks_per_correct, second.backtracks_per_correct) == (0, 0)
    again = summarise([group(AGAIN), *groups], bucket=ENV.bucket).buckets["3"]
    assert again.backtracks_per_correct == 1 / 3 and again.straight_back is None  # from no dead end
    assert summarise(groups[:3], bucket=ENV.bucket).buckets == {}  # one bucket is the whole split
    assert summarise(groups).buckets == {}
    named = summarise(groups, bucket=lambda problem: "level 9" if problem is one else "level 10")
    assert list(named.buckets) == ["level 9", "level 10"]


def test_backtracks_from_a_dead_end_lead_out_of_it_or_not() -> None:
    """Two ways into dead ends; after the first, one more branch of it is tried."""
    env = make_env("graph_search", {"grammar": "depth_first", "path": "any"})
    problem = replace(env.problem(Split.ID, 0), question="0,1|1,2|1,3|0,4|4,5/0,5", answer="0,4,5")
    texts = ["0 > 1\n1 > 2\n<backtrack> 1\n1 > 3\n<backtrack> 0\n0 > 4\n4 > 5", "0 > 4\n4 > 5"]
    groups = []
    for text in texts:
        trace = env.check(problem, env.parse(f"{text}\nThus, the answer is 0,4,5."))
        (sample,) = score_texts(problem, [trace], [text], [9], REWARDS)
        groups.append(make_group(problem, [replace(sample, facts=line_facts(env, problem, trace))]))
    assert summarise(groups).straight_back == 1 / 2
    assert summarise(groups[1:]).straight_back is None


def test_merged_lines_are_a_share_of_the_lines_of_verified_traces() -> None:
    # Standing lines of verified traces: 3, 2, 2 and 3; the first line of SKIP does two steps, in DETOUR too.
    texts = [FULL, SKIP, DETOUR, AGAIN, BARE, BROKEN, WRONG, CUT]
    groups = [group(text) for text in texts]
    assert summarise(groups, merges=lambda problem: True).merged_lines == 2 / 10
    assert summarise([group(BARE), group(BROKEN)], merges=lambda problem: True).merged_lines is None
    assert summarise(groups).merged_lines is None  # no line can do more than one
    unknown = [replace(one, samples=[replace(each, facts=None) for each in one.samples]) for one in groups]
    assert summarise(unknown, merges=lambda problem: True).merged_lines is None  # the task cannot tell


def test_uses_of_lines_are_shares_of_all_lines() -> None:
    # The first two lines of FULL are skippable. What DETOUR and AGAIN take back is wasted, with the backtrack.
    # The merged line of SKIP and its last line are needed.
    uses = {
        FULL: "SSN",
        SKIP: "NN",
        DETOUR: "WWNN",
        AGAIN: "WWSSN",
        BARE: "",
        BROKEN: "XNN",
        WRONG: "N",
        CUT: "NX",
    }
    counts = Counter("".join(uses.values()))
    result = summarise([group(text) for text in uses])
    found = (result.needed_lines, result.skippable_lines, result.wasted_lines, result.wrong_lines)
    assert found == tuple(counts[use] / counts.total() for use in "NSWX")
    none = summarise([group(BARE)])
    assert (none.needed_lines, none.skippable_lines, none.wasted_lines, none.wrong_lines) == (None,) * 4


def test_uses_of_lines_leave_out_tasks_that_do_not_know_what_remains() -> None:
    known, unknown = group(FULL), group(BROKEN)
    wrong = [LineFacts(None, None, use, 0) for use in (LineUse.WRONG, LineUse.UNKNOWN, LineUse.UNKNOWN)]
    unknown = replace(unknown, samples=(replace(unknown.samples[0], facts=tuple(wrong)),))
    assert summarise([known, unknown]).wrong_lines == 0
    assert summarise([unknown]).wrong_lines is None


def test_empty_thoughts_are_counted_by_difficulty() -> None:
    def asked(actions: int) -> Problem:
        return replace(
            PROBLEM,
            question=f"You face north. Actions: {'left' + ', around' * (actions - 1)}",
            difficulty=actions,
        )

    hard, easy = asked(12), asked(2)
    texts = [
        (BARE, hard),
        (FULL, hard),
        (BARE, easy),
        (WRONG.split("\n")[1], easy),
        (CUT, PROBLEM),
        ("", PROBLEM),
    ]
    groups = [group(text, problem=problem) for text, problem in texts]
    result = summarise(groups, bucket=ENV.bucket)
    # A wrong answer without a step counts, a text without an answer does not.
    assert result.empty_thoughts == 3 / 6
    assert list((result.empty_by_difficulty or {}).items()) == [("2", 1.0), ("3", 0.0), ("12", 0.5)]
    assert summarise(groups).empty_by_difficulty == result.empty_by_difficulty  # by difficulty, without buckets
    none = summarise([group(FULL), group(CUT)])
    assert (none.empty_thoughts, none.empty_by_difficulty) == (0.0, None)
    assert SplitResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    older = result.to_json()
    for key in ("merged_lines", "empty_thoughts", "empty_by_difficulty"):
        del older[key]
    assert SplitResult.from_json(older) == replace(result, empty_thoughts=None, empty_by_difficulty=None)


def test_full_steps_of_the_right_ones_and_of_all() -> None:
    other = replace(PROBLEM, question="You face north. Actions: left", answer="west", num_full_steps=1)
    result = summarise(
        [group(FULL), group(WRONG, problem=replace(PROBLEM, num_full_steps=9)), group(END, problem=other)]
    )
    # One right answer of three: the last states south where west is right.
    assert result.full_steps_per_correct == 3
    assert result.full_steps == pytest.approx((3 + 9 + 1) / 3)


def test_nothing_right_has_no_steps_per_right_answer() -> None:
    result = summarise([group(WRONG), group(CUT)], [group(WRONG, CUT)])
    assert result.accuracy == 0
    assert result.steps_per_correct is result.steps_saved is result.full_steps_per_correct is None
    assert result.sampled_accuracy == 0
    assert result.sampled_steps_per_correct is None
    assert result.pass_at_k == {"1": 0, "2": 0}


def test_sampled_figures() -> None:
    sampled = [group(FULL, WRONG, WRONG, WRONG), group(SKIP, FULL, WRONG, CUT)]
    result = summarise([group(FULL), group(FULL)], sampled)
    assert result.sampled_accuracy == 3 / 8
    assert result.sampled_steps_per_correct == pytest.approx((3 + 2 + 3) / 3)
    # k = 1: (1/4 + 2/4) / 2. k = 2: (1/2 + 5/6) / 2. k = 4: certain.
    assert result.pass_at_k == pytest.approx({"1": 3 / 8, "2": 2 / 3, "4": 1.0})


@pytest.mark.parametrize(
    ("size", "ks"), [(1, ["1"]), (3, ["1", "2", "3"]), (5, ["1", "2", "4", "5"]), (8, ["1", "2", "4", "8"])]
)
def test_pass_curve_ends_at_the_samples_taken(size: int, ks: list[str]) -> None:
    curve = summarise([group(FULL)], [group(*[WRONG] * (size - 1), FULL)]).pass_at_k
    assert list(curve) == ks
    # One right sample of n: the chance to draw it among k is k / n.
    assert curve == pytest.approx({k: int(k) / size for k in ks})


def test_without_greedy_completions_the_headline_is_the_mean_of_the_samples() -> None:
    sampled = [group(FULL, WRONG, WRONG, WRONG), group(SKIP, FULL, BROKEN, CUT)]
    result = summarise([], sampled, bucket=ENV.bucket)
    assert (result.greedy, result.num_problems) == (False, 2)
    assert result.accuracy == result.sampled_accuracy == 4 / 8
    # The counts of right ones, 1 and 3 of 4, differ from half by 1 each: variance 2/1 * (1 + 1) / 8² = 1/16, so
    # 0.25 / (1/16) = 4 of the 8 samples count.
    assert (result.accuracy_low, result.accuracy_high) == pytest.approx(wilson_interval(2, 4))
    assert result.verified == 3 / 8
    assert result.steps_per_correct == result.sampled_steps_per_correct == (3 + 2 + 3 + 3) / 4
    assert result.truncated == 1 / 8
    assert result.tokens == 10 + (3 + 1 + 1 + 1 + 2 + 3 + 3 + 2) / 8
    assert result.pass_at_k["4"] == 1.0
    assert summarise([group(FULL)], sampled).greedy


def test_intervals_of_samples_lie_between_those_of_problems_and_of_samples() -> None:
    for counts in ([(4, 4), (0, 4), (4, 4), (0, 4)], [(2, 4)] * 6, [(1, 4), (3, 4), (4, 4), (2, 4)]):
        low, high = clustered_interval(counts)
        right, num = sum(right for right, _ in counts), sum(num for _, num in counts)
        assert low <= right / num <= high
        assert wilson_interval(right * len(counts) / num, len(counts))[0] - 1e-12 <= low
        assert low <= wilson_interval(right, num)[0] + 1e-12
    assert clustered_interval([(1, 1), (0, 1), (1, 1)]) == pytest.approx(wilson_interval(2, 3))
    assert clustered_interval([(4, 4)] * 5) == pytest.approx(wilson_interval(5, 5))  # not of 20


def test_accuracy_by_length_is_that_of_completions_cut_off() -> None:
    # Right ones take 13, 12, 10 tokens, the wrong one 11, the one cut off at the full limit 12.
    groups = [group(text) for text in (FULL, SKIP, BARE, WRONG, CUT)]
    result = summarise(groups, limits=[9, 10, 12, 13])
    assert list(result.by_length) == ["9", "10", "12", "13"]
    found = list(result.by_length.values())
    assert [one.accuracy for one in found] == [0, 1 / 5, 2 / 5, result.accuracy]
    assert [(one.accuracy_low, one.accuracy_high) for one in found] == [wilson_interval(n, 5) for n in range(4)]
    # Over 9 tokens all are cut off; over 10 four; over 12 the first one and the one without an end.
    assert [one.truncated for one in found] == [1, 4 / 5, 2 / 5, result.truncated]
    assert [one.tokens for one in found] == pytest.approx([9, 10, (12 + 12 + 10 + 11 + 12) / 5, result.tokens])


def test_no_problem_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 trials"):
        summarise([])


def test_the_table_shows_the_figures() -> None:
    stages = {Stage.BASE: {"id": summarise([group(WRONG)])}, Stage.GRPO: {"id": summarise([group(SKIP)])}}
    head, line, base, grpo = result_table(stages.items()).split("\n")
    assert set(line) == {"-"}
    assert head.split()[:3] == ["stage", "split", "accuracy"]
    # 0 of 1: 0 to 0.793; no right answer, so no steps. One line, so 11 tokens.
    assert base.split() == ["base", "id", "0.000", "0.000-0.793", "-", "-", "-", "0.00", "11.0"]
    # 1 of 1: 0.207 to 1; two of three steps, one third saved; two lines, so 12 tokens.
    assert grpo.split() == ["grpo", "id", "1.000", "0.207-1.000", "2.00", "3.00", "33.3%", "0.00", "12.0"]


def test_right_answers_in_other_words_are_no_strict_ones() -> None:
    env = make_example("math")
    problem = env.problem(Split.ID, 0)
    right = problem.answer
    texts = [f"Thus, the answer is {right}.", f"**Answer:** {right}", f"\\boxed{{{right}}}", f"#### {right}1"]
    traces = [env.check(problem, env.parse(text)) for text in texts]
    free = make_group(problem, score_texts(problem, traces, texts, [9] * 4, REWARDS))
    result = summarise([], [free])
    assert (result.accuracy, result.strict_accuracy) == (3 / 4, 1 / 4)
    assert summarise([group(FULL)]).strict_accuracy == 1.0
    assert [sample.trace.form for sample in free.samples] == ["closing_line", "label", "box", "hashes"]
    # The table has both where they differ, and an older result has none.
    old = replace(result, strict_accuracy=None)
    shown = result_table([("base", {"id": result}), ("warm", {"id": old})]).split("\n")
    assert shown[0].split("  ")[0] == "stage" and "strict form" in shown[0]
    assert (shown[2].split()[5], shown[3].split()[5]) == ("0.250", "-")
    assert "strict form" not in result_table([("base", {"id": summarise([group(FULL)])})])


# ---- all splits ----


def make_pool(*lost: int) -> ScriptedPool:
    """Problem n is right in n of four samples; graders fail on the first sample of the problems `lost`."""

    def answer(request: GroupRequest) -> RolloutGroup:
        samples = range(request.num_samples)
        whole = group(*[FULL if sample < request.index % 5 else WRONG for sample in samples])
        return without_graded(whole, int(request.index in lost))

    return ScriptedPool(answer)


def config(**evaluation: object) -> Config:
    return check_config(
        {
            "env": {"name": "directional"},
            "rewards": {"terms": [{"name": "correct", "weight": 1.0}]},
            "seed": 7,
            "rollout": {"max_new_tokens": 20},
            "eval": evaluation,
        }
    )


def test_all_splits_are_evaluated_greedily_and_with_samples() -> None:
    pool, seen = make_pool(), list[tuple[str, int]]()
    settings = config(
        splits=["id", "ood_hard"],
        num_problems=5,
        num_samples=4,
        temperature=0.5,
        top_p=0.9,
        problems_per_batch=2,
        max_new_tokens={"ood_hard": 90},
    )
    found = evaluate(pool, settings, ENV, on_batch=lambda split, done: seen.append((split, done)))
    assert list(found.results) == list(found.greedy) == ["id", "ood_hard"]
    # Batches of 2, 2 and 1 problems: greedily 1 completion each, then 4.
    done = [2, 4, 5, 13, 21, 25]
    assert seen == [("id", n) for n in done] + [("ood_hard", 25 + n) for n in done]
    assert num_completions(settings) == 50
    for split, limit in (("id", 20), ("ood_hard", 90)):
        greedy = Sampling(temperature=0.0, max_new_tokens=limit)
        warm = Sampling(temperature=0.5, top_p=0.9, max_new_tokens=limit)
        for sampling, num_samples in ((greedy, 1), (warm, 4)):
            batches = [
                batch
                for call, given in zip(pool.calls, pool.samplings, strict=True)
                for batch in call
                if given == sampling and batch[0].split == Split(split)
            ]
            assert [len(batch) for batch in batches] == [2, 2, 1]
            requests = [request for batch in batches for request in batch]
            assert [request.index for request in requests] == [0, 1, 2, 3, 4]
            assert {(r.num_samples, r.budget, r.seed) for r in requests} == {(num_samples, None, 7)}
        # Greedily problems 1 to 4 are right; of the samples 0, 1, 2, 3 and 4 of four are.
        assert found.results[split].accuracy == 4 / 5
        assert found.results[split].sampled_accuracy == 10 / 20
        assert len(found.greedy[split]) == 5


def test_sampled_only() -> None:
    pool = make_pool()
    settings = config(splits=["id"], num_problems=3, greedy=False, num_samples=4, top_k=5, top_p=0.95)
    found = evaluate(pool, settings, ENV)
    assert pool.samplings == [Sampling(temperature=1.0, top_p=0.95, top_k=5, max_new_tokens=20)]
    assert num_completions(settings) == 12
    assert found.greedy == {"id": ()} and len(found.sampled["id"]) == 3
    assert (found.results["id"].greedy, found.results["id"].accuracy) == (False, 3 / 12)
    with pytest.raises(ConfigError, match="nothing would be evaluated; set num_samples to 1 or more"):
        config(greedy=False, num_samples=0)


def test_length_limits_are_halvings_or_as_given() -> None:
    assert length_limits(config(), 256) == [16, 32, 64, 128, 256]
    assert length_limits(config(), 5) == [1, 2, 5]
    assert length_limits(config(length_limits=[7, 20]), 20) == [7, 20]
    assert length_limits(config(length_limits=[]), 20) == []
    with pytest.raises(ConfigError, match=r"eval.length_limits has 21, but .* up to 20 tokens"):
        config(length_limits=[4, 21])


def test_greedy_only() -> None:
    pool = make_pool()
    found = evaluate(pool, config(splits=["id"], num_problems=3, num_samples=0), ENV)
    assert pool.samplings == [Sampling(temperature=0.0, max_new_tokens=20)]
    assert found.results["id"].pass_at_k == {}


def test_ungraded_completions_are_left_out_and_counted() -> None:
    """Problem 4, right greedily and in all four samples, loses its greedy completion and its first sample."""
    found = evaluate(make_pool(4), config(splits=["id"], num_problems=5), ENV)
    result = found.results["id"]
    assert (result.num_problems, result.ungraded) == (4, 2)
    assert result.accuracy == 3 / 4
    assert result.sampled_accuracy == 9 / 19
    assert result.pass_at_k["1"] == pytest.approx((0 + 1 / 4 + 2 / 4 + 3 / 4 + 3 / 3) / 5)
    assert result.pass_at_k["4"] == 3 / 4  # problem 4 has three samples only
    assert [len(group.samples) for group in found.greedy["id"]] == [1] * 4


def test_too_many_ungraded_completions_end_the_evaluation() -> None:
    settings = config(splits=["id"], num_problems=5)
    settings = settings.model_copy(update={"rollout": settings.rollout.model_copy(update={"max_ungraded": 1})})
    with pytest.raises(
        GraderError, match=r"^2 completions could not be graded, more than rollout.max_ungraded"
    ):
        evaluate(make_pool(1, 2), settings, ENV)
    with pytest.raises(GraderError, match=r"^no completion of id could be graded: no grader$"):
        evaluate(make_pool(0), config(splits=["id"], num_problems=1), ENV)
