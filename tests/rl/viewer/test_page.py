"""The viewer's page in a real browser: filters, pages, comparison, folds, tokens, and hostile texts."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from rl.runs.changes import Change, changes
from rl.runs.record import SampleRow
from rl.viewer import Trajectories, make_server, read_trajectories, write_page
from tests.kit.browser import CHROMIUM, Browser
from tests.kit.file_rows import row_data, step_data, write_rows
from tests.kit.judged_runs import checked_run, counted_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome")

HOSTILE = (
    "<script>document.title = 'broken'</script><img src=x onerror=\"document.title = 'broken'\">"
    '"><svg onload="document.title = \'broken\'"> </script><!-- \u202e\x00\t.'
)
ATTRIBUTE = "x' onmouseover='document.title=1' \"><b id=injected>"
OUTCOMES = ("verified", "correct", "wrong", "malformed")
TRAINING = [
    row_data(
        index // 2,
        split="train",
        sample=index % 2,
        update=1 + index // 10,
        outcome=OUTCOMES[index % 4],
        reward=(index % 7) / 7,
        advantage=((index * 13) % 11) / 11 - 0.5,
        parts={"correct": float(index % 4 < 2), **({"step_count": -index / 60} if index % 3 else {})},
        tokens=100 - index,
        steps=[step_data(f"line {n}") for n in range(index % 5)]
        + [step_data("<backtrack>", "backtrack")] * (index % 2),
        text=f"needle {index}" if index % 25 == 0 else "hay",
    )
    for index in range(60)
]
LENGTHS = {"warm": [3, 3, 3, 2, 4, 3, 5, 6, 1], "grpo": [3, 2, 5, 2, 1, 3, 1, 1, 2]}
RIGHT = {"warm": "111100111", "grpo": "111110011"}
EVALUATED = {
    stage: [
        row_data(i, stage=stage, steps=[step_data(f"{stage} {n}") for n in range(num)], outcome=outcome)
        for i, (num, outcome) in enumerate(
            zip(lengths, ("verified" if right == "1" else "wrong" for right in RIGHT[stage]), strict=True)
        )
    ]
    for stage, lengths in LENGTHS.items()
}
PIECES = ["1 + 1", " = 2\n", "<script>", "\u202e", "<eos>"]
SPECIAL = [
    row_data(
        90,
        split="ood_hard",
        steps=[
            step_data("first"),
            step_data("wrong turn", verdict="invalid", undone=True),
            step_data("deeper", undone=True),
            step_data("<backtrack> 2", "backtrack"),
            step_data("deeper again", undone=True),
            step_data("<backtrack> 9", "backtrack", "invalid"),
            step_data("<backtrack> 1", "backtrack"),
            step_data("second\nline of it"),
        ],
    ),
    row_data(
        91,
        split="ood_hard",
        prompt=HOSTILE,
        answer=HOSTILE,
        text=HOSTILE,
        stated=HOSTILE,
        env=ATTRIBUTE,
        parts={ATTRIBUTE: 1.0},
        steps=[{**step_data(HOSTILE, verdict="invalid"), "reason": HOSTILE}, step_data(HOSTILE)],
    ),
    row_data(92, split="ood_hard", pieces=PIECES, logprobs=[-0.1, -0.7, -2.30259, 0.0, -1e-9], advantage=0.25),
    row_data(93, split="ood_hard", pieces=PIECES, logprobs=[-0.1], advantage=[0.5, -1.0, 0.0, 2.0, -0.25]),
]
ROW = {name: 18 + at for at, name in enumerate(("detours", "hostile", "scalar", "list"))}
"""Numbers of the special rows: after nine evaluated ones of each stage."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return read_trajectories([write_rows(folder, training=[*SPECIAL, *TRAINING], **EVALUATED)])


@pytest.fixture(scope="module")
def served(data: Trajectories) -> Iterator[str]:
    with make_server(data) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def written(data: Trajectories, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(data, path, overwrite=False)
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


@pytest.fixture
def page(browser: Browser, served: str) -> Iterator[Callable[..., Browser]]:
    """Opens the view of a state and returns the browser; fails if a script has failed or been blocked."""

    def opened(**state: object) -> Browser:
        names = {key.replace("_", "-"): value for key, value in state.items()}
        browser.open(f"{served}#{urlencode(names)}")
        return browser

    browser.console.clear()
    yield opened
    assert browser.console == []


def shown(browser: Browser) -> list[int]:
    """Which of TRAINING are on the page, in order."""
    numbers = browser.run("Array.from(document.querySelectorAll('article'), (e) => Number(e.dataset.row))")
    return [number - 22 for number in numbers]


def wanted(keep: Callable[[int, dict[str, Any]], bool]) -> list[int]:
    return [number for number, one in enumerate(TRAINING) if keep(number, one)]


FILTERS: dict[str, tuple[dict[str, object], list[int]]] = {
    "update": ({"update_from": 2, "update_to": 3}, wanted(lambda i, r: r["update"] in (2, 3))),
    "split and problem": ({"index_from": 7, "index_to": 7}, [14, 15]),
    "outcome": ({"outcome": "malformed"}, wanted(lambda i, r: r["outcome"] == "malformed")),
    "right": ({"outcome": "right"}, wanted(lambda i, r: r["outcome"] in ("verified", "correct"))),
    "not right": ({"outcome": "not-right"}, wanted(lambda i, r: r["outcome"] in ("wrong", "malformed"))),
    "part": ({"part": "step_count"}, wanted(lambda i, r: "step_count" in r["parts"])),
    "value of a part": (
        {"part": "step_count", "part_from": -0.5, "part_to": -0.25},
        wanted(lambda i, r: -0.5 <= r["parts"].get("step_count", 1) <= -0.25),
    ),
    "part without a value": (
        {"part_from": -0.5, "part_to": -0.25},
        wanted(lambda i, r: True),
    ),
    # 3/7 is shown as 0.429, and so it is found.
    "reward": ({"reward_from": 0.429, "reward_to": 0.429}, wanted(lambda i, r: i % 7 == 3)),
    "steps": ({"steps_from": 1, "steps_to": 2}, wanted(lambda i, r: i % 5 in (1, 2))),
    "backtracks": ({"backtracks_from": 1}, wanted(lambda i, r: i % 2 == 1)),
    "invalid": ({"invalid_from": 1}, []),
    "tokens": ({"tokens_to": 45}, wanted(lambda i, r: r["tokens"] <= 45)),
    "text": ({"text": "NEEDLE"}, [0, 25, 50]),
    "all at once": (
        {"outcome": "right", "update_from": 2, "steps_to": 3, "backtracks_to": 0, "part": "correct"},
        wanted(lambda i, r: i % 4 == 0 and i >= 10 and i % 5 <= 3),
    ),
}


@pytest.mark.parametrize(("state", "expected"), FILTERS.values(), ids=FILTERS)
def test_a_filter_leaves_exactly_what_it_names(
    page: Callable[..., Browser], state: dict[str, object], expected: list[int]
) -> None:
    found = page(source="run/training", split="train", per=100, **state)
    assert shown(found) == expected
    assert found.texts("#count")[0].split()[0] == str(len(expected))
    assert found.texts("#warnings") == [""]


def test_filters_on_values_the_data_lacks_are_named(page: Callable[..., Browser]) -> None:
    found = page(source="run/nowhere", split="x<b>", outcome="no", part="nothing", reward_from="abc")
    assert found.texts("#warnings p") == [
        f"These runs have no {what}: that filter is left out."
        for what in ("source run/nowhere", "split x<b>", "outcome no", "reward part nothing", "number abc")
    ]
    assert found.texts("#count") == ["82 trajectories of 82"]


def test_sorting(page: Callable[..., Browser]) -> None:
    keep = {"source": "run/training", "split": "train", "per": 100}
    keys = {
        "reward": lambda i: i % 7,
        "advantage": lambda i: (i * 13) % 11,
        "tokens": lambda i: -i,
        "steps": lambda i: i % 5,
    }
    for name, value in keys.items():
        assert shown(page(sort=name, **keep)) == sorted(range(60), key=value)
        down = shown(page(sort=name, order="down", **keep))
        assert down == sorted(range(60), key=lambda i, value=value: (-value(i), i))  # type: ignore[misc]


def test_the_filters_are_folded_and_those_that_are_set_are_named(page: Callable[..., Browser]) -> None:
    found = page(source="run/training", split="train", reward_to=0.5, advantage_from=0, part="correct")
    assert found.run("document.querySelector('#fold').open") is False
    assert found.texts("#fold > summary") == ["Filters · 5 set"]
    assert found.texts("#chips li") == [
        "source: run/training ×",
        "split: train ×",
        "reward: ≤ 0.5 ×",
        "advantage: ≥ 0 ×",
        "reward part: correct ×",
        "clear all",
    ]
    kept = {i for i in range(60) if (i % 7) / 7 <= 0.5 and ((i * 13) % 11) / 11 >= 0.5}
    assert set(shown(found)) == kept
    found.run("document.querySelector('#chips li:nth-child(4) a').click()")
    found.until("!location.hash.includes('advantage')")
    found.wait()
    assert found.texts("#fold > summary") == ["Filters · 4 set"]
    assert found.texts("#count")[0].split()[0] == str(sum((i % 7) / 7 <= 0.5 for i in range(60)))
    assert page().texts("#fold > summary") == ["Filters"]
    assert found.texts("#chips li") == []


@pytest.mark.parametrize("view", ["browse", "groups", "compare"])
def test_a_phone_shows_the_first_trajectory_without_scrolling(
    browser: Browser, page: Callable[..., Browser], view: str
) -> None:
    browser.resize(420, 860)
    try:
        found = page(view=view)
        tops = found.run(
            "Array.from(document.querySelectorAll('.problem .prompt'), (e) => e.getBoundingClientRect().top)"
        )
        assert tops[0] < 500
        assert found.run("document.documentElement.scrollWidth <= innerWidth")
    finally:
        browser.resize(1400, 1000)


def test_the_overview_counts_outcomes_and_rewards(page: Callable[..., Browser]) -> None:
    found = page(source="run/training", split="train")
    # Rewards are i % 7 / 7 for 60 rows: the first four values occur nine times, the others eight, so the mean
    # is (9 (0 + 1 + 2 + 3) + 8 (4 + 5 + 6)) / 7 / 60 = 174 / 420 = 0.414.
    assert found.texts("#overview > summary") == ["Overview 50 % right · mean reward 0.414"]
    rewards = [i % 7 / 7 for i in range(60)]
    table = found.run(
        "Array.from(document.querySelectorAll('.outcomes tbody tr'), (row) =>"
        "Array.from(row.querySelectorAll('th, td:not(.bar-cell)'), (cell) => cell.textContent))"
    )
    expected = []
    for at, outcome in enumerate(OUTCOMES):
        mean = sum(rewards[at::4]) / 15
        steps = sum(i % 5 for i in range(at, 60, 4)) / 15
        expected.append([outcome, "15 (25 %)", f"{mean:.2f}".rstrip("0"), f"{steps:.0f}"])
    assert sorted(table) == sorted(expected)
    titles = found.run("Array.from(document.querySelectorAll('.bars a'), (one) => one.title)")
    right = [sum(i % 4 < 2 for i in range(60) if i % 7 == at) for at in range(7)]
    labels = ["0", "0.143", "0.286", "0.429", "0.571", "0.714", "0.857"]
    assert titles == [
        f"reward {label}: {num} right, {(9 if at < 4 else 8) - num} not right"
        for at, (label, num) in enumerate(zip(labels, right, strict=True))
    ]
    found.run("document.querySelector('.bars li:nth-child(4) a').click()")
    found.until("location.hash.includes('reward-from=0.429')")
    found.wait()
    assert shown(found) == [i for i in range(60) if i % 7 == 3]
    found.run("document.querySelector('.outcomes a').click()")
    found.until("location.hash.includes('outcome=')")
    found.wait()
    assert len(shown(found)) == int(found.texts("#count")[0].split()[0]) > 0


def test_many_rewards_are_counted_in_ranges(browser: Browser, tmp_path: Path) -> None:
    # 200 rewards from -1 to 0.99 in steps of 0.01: 16 bars at most, 0.2 wide, so 20 rewards in each of 10.
    rows = [row_data(i, reward=-1 + i / 100) for i in range(200)]
    write_page(
        read_trajectories([write_rows(tmp_path / "a", training=rows)]), tmp_path / "p.html", overwrite=False
    )
    browser.open((tmp_path / "p.html").as_uri())
    titles = browser.run("Array.from(document.querySelectorAll('.bars a'), (one) => one.title)")
    assert titles[0] == "reward −1 to −0.801: 20 right, 0 not right"
    assert titles[-1] == "reward 0.8 to 0.999: 20 right, 0 not right"
    assert len(titles) == 10
    browser.run("document.querySelector('.bars a').click()")
    browser.until("location.hash.includes('reward-to=-0.801')")
    browser.wait()
    assert browser.texts("#count") == ["20 trajectories of 200"]


def test_neighbours_with_one_problem_share_its_prompt(page: Callable[..., Browser]) -> None:
    found = page(split="train", per=10)
    assert shown(found) == list(range(10))
    sections = found.run(
        "Array.from(document.querySelectorAll('.problem'), (one) =>"
        "[one.querySelectorAll('.prompt').length, one.querySelectorAll('article').length])"
    )
    assert sections == [[1, 2]] * 5  # two samples of each problem
    assert found.texts("article .prompt") == []


GROUPS = [
    # Right samples, rewards: differ, differ, equal, equal and all wrong.
    (0, [1.0, 0.25, 0.0, 0.0], ["verified", "verified", "wrong", "malformed"]),
    (1, [0.5, 0.75, 0.75, 0.5], ["verified"] * 4),
    (2, [0.75] * 4, ["verified"] * 4),
    (3, [0.1 + 0.2, 0.3, 0.3, 0.3], ["wrong"] * 4),
]
GROUP_ROWS = [
    row_data(
        index,
        update=1 + index // 2,
        sample=sample,
        reward=rewards[sample],
        advantage=rewards[sample] - sum(rewards) / 4,
        outcome=outcomes[sample],
        text=f"sample {sample} of {index}",
    )
    for index, rewards, outcomes in GROUPS
    for sample in range(4)
]


RENDERED = "<|user|>Numbers: 1<|bot|>"


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("groups")
    again = [{**one, "update": 9, "group": 10 + one["group"]} for one in GROUP_ROWS[:4]]
    # The first sample of problem 1 holds the prompt of all four; the second one has the best reward.
    rows = [one | {"rendered_prompt": RENDERED} if at == 4 else one for at, one in enumerate(GROUP_ROWS)]
    run = write_rows(folder / "run", training=[*rows, *again], warm=[row_data(0)])
    write_page(read_trajectories([run]), folder / "page.html", overwrite=False)
    return (folder / "page.html").as_uri()


def shown_groups(browser: Browser) -> list[str]:
    return browser.texts(".group-card .facts-line > span:last-child")


def test_a_group_is_all_samples_of_one_draw_under_one_prompt(browser: Browser, groups: str) -> None:
    browser.open(f"{groups}#view=groups")
    assert browser.texts("#count") == ["5 groups of 5"], (
        "problem 0 is drawn twice; an evaluated row is no group"
    )
    assert shown_groups(browser) == [
        *(f"update {1 + index // 2} · group {index}" for index in range(4)),
        "update 9 · group 10",
    ]
    zero, two, three = (f"Numbers: {index}\nAnswer:" for index in (0, 2, 3))
    assert browser.texts(".group-card .prompt") == [zero, RENDERED, two, three, zero]
    first = browser.run(
        "Array.from(document.querySelectorAll('.group-card:first-child tbody tr'), (row) =>"
        "Array.from(row.children, (cell) => cell.textContent))"
    )
    # Best reward first; the mean is 0.3125.
    assert first == [
        ["0", "✓ verified", "1", "+0.688", "2", "1", "9"],
        ["1", "✓ verified", "0.25", "−0.063", "2", "1", "9"],
        ["2", "✗ wrong", "0", "−0.313", "2", "1", "9"],
        ["3", "✗ malformed", "0", "−0.313", "2", "1", "9"],
    ]
    assert browser.texts(".group-card:first-child article h3") == [f"sample {n}" for n in range(4)]
    assert browser.texts(".group-card:first-child .advantage-of") == ["+0.688", "−0.063", "−0.313", "−0.313"]
    facts = browser.texts(".group-facts")
    assert facts[0] == "2 of 4 samples right · mean reward 0.313"
    flag = " · zero variance: all rewards are equal, every advantage without step credit is 0"
    assert facts[2:4] == [
        f"4 of 4 samples right · mean reward 0.75{flag}",
        f"0 of 4 samples right · mean reward 0.3{flag}",  # 0.1 + 0.2 and 0.3 are one reward
    ]


def test_groups_are_filtered_and_sorted(browser: Browser, groups: str) -> None:
    def opened(state: str) -> list[int]:
        browser.open(f"{groups}#view=groups&{state}")
        return [int(one.rsplit(" ", 1)[1]) for one in shown_groups(browser)]

    assert opened("signal=none") == [2, 3]
    assert opened("signal=some") == [0, 1, 10]
    assert opened("outcome=malformed") == [0, 10]
    assert browser.texts("#count") == ["2 groups with a trajectory that matches, of 5"]
    assert len(browser.texts(".group-card:first-child article")) == 4, (
        "all samples are shown, not the match alone"
    )
    assert opened("sort=mean reward&order=down") == [2, 1, 0, 10, 3]
    assert opened("sort=reward spread") == [2, 3, 1, 0, 10]
    assert opened("sort=samples right") == [3, 0, 10, 1, 2]
    assert opened("sort=update&order=down") == [10, 2, 3, 0, 1]
    assert opened("per=2&page=2") == [2, 3]
    assert opened("outcome=crash") == [0, 1, 2, 3, 10]
    browser.open(f"{groups}#view=groups")
    # The means are 0.3125, 0.625, 0.75, 0.3 and again 0.3125.
    assert browser.texts("#overview > summary") == ["Overview 40 % zero variance · mean reward 0.46"]
    browser.run("document.querySelector('#overview a').click()")
    browser.until("location.hash.includes('signal=none')")
    browser.wait()
    assert browser.texts("#count") == ["2 groups of 5"]
    assert browser.texts("#chips li") == ["rewards: zero variance ×", "clear all"]


def test_a_trajectory_leads_to_its_group(browser: Browser, groups: str) -> None:
    browser.open(f"{groups}#index-from=0&index-to=0&source=run/training")
    assert len(browser.texts("article")) == 8
    browser.run("document.querySelector('.facts-line a').click()")
    browser.until("location.hash.includes('view=groups')")
    browser.wait()
    assert shown_groups(browser) == ["update 1 · group 0"]


@pytest.mark.parametrize("make", [counted_run, checked_run])
def test_the_words_for_steps_are_those_of_the_task(
    browser: Browser, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    """Where no step is checked, none is valid or invalid, and no answer verified: steps are counted."""
    write_page(read_trajectories([make(tmp_path / "run")]), tmp_path / "p.html", overwrite=False)
    shown = ""
    for view in ("browse", "groups", "compare"):
        browser.open(f"{(tmp_path / 'p.html').as_uri()}#view={view}")
        shown += browser.run(
            "[document.querySelector('main').textContent, ...Array.from(document.querySelectorAll('main *'), "
            "(one) => `${one.title ?? ''} ${one.getAttribute('aria-label') ?? ''}`)].join(' ')"
        )
    claimed = [word for word in ("verified", "valid step", "invalid", "Invalid steps") if word in shown]
    if make is counted_run:
        assert claimed == [] and "1 step counted · 0 backtracks" in shown
        assert "step, counted and not checked" in shown
    else:
        assert claimed == ["verified", "valid step", "invalid", "Invalid steps"] and "counted" not in shown


def test_runs_without_groups_are_reported(browser: Browser, tmp_path: Path) -> None:
    write_page(
        read_trajectories([write_rows(tmp_path / "a", warm=[row_data(0)])]),
        tmp_path / "p.html",
        overwrite=False,
    )
    browser.open(f"{(tmp_path / 'p.html').as_uri()}#view=groups")
    assert browser.texts(".none") == ["These runs have no group of samples yet."]


def test_rows_without_a_value_come_last(browser: Browser, tmp_path: Path) -> None:
    rewards = [0.5, math.nan, 0.1, math.nan, 0.9]
    run = write_rows(tmp_path / "a", training=[row_data(i, reward=value) for i, value in enumerate(rewards)])
    write_page(read_trajectories([run]), tmp_path / "page.html", overwrite=False)
    for order, expected in (("up", ["0.1", "0.5", "0.9", "–", "–"]), ("down", ["0.9", "0.5", "0.1", "–", "–"])):
        browser.open(f"{(tmp_path / 'page.html').as_uri()}#sort=reward&order={order}")
        assert browser.texts(".reward b") == expected
        assert browser.texts(".problem > header a")[3:] == ["id · problem 1", "id · problem 3"]


def test_pages_follow_one_another_by_link_and_by_key(page: Callable[..., Browser]) -> None:
    found = page(split="train", per=10, page=2)
    assert shown(found) == list(range(10, 20))
    assert found.texts("#previous-above ~ .page-number") == ["page 2 of 6"]
    found.run("document.querySelector('#next-below').click()")
    found.until("location.hash.includes('page=3')")
    found.wait()
    assert shown(found) == list(range(20, 30))
    for key, first in (
        ("ArrowRight", 30),
        ("ArrowLeft", 20),
        ("ArrowLeft", 10),
        ("ArrowLeft", 0),
        ("ArrowLeft", 0),
    ):
        found.press(key)
        found.wait()
        assert shown(found)[0] == first
    found.run("document.querySelector('#fold').open = true")
    found.run("document.querySelector('#filter-text').focus()")
    found.press("ArrowRight")
    found.wait()
    assert shown(found)[0] == 0  # the key moves the cursor in a field
    assert shown(page(split="train", per=25, page=99)) == list(range(50, 60))


def test_a_filter_set_by_hand_is_kept_in_the_address(page: Callable[..., Browser]) -> None:
    found = page(split="train", page=2, tokens="3")
    assert found.run("document.querySelector('#filter-split').value") == "train"
    found.run(
        "(() => { const box = document.querySelector('#filter-steps-from'); box.value = 4;"
        "box.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )
    found.wait()
    assert shown(found) == wanted(lambda i, r: i % 5 == 4)
    address = found.run("location.href")
    assert "steps-from=4" in address
    assert "page" not in address
    found.open(address)
    assert shown(found) == wanted(lambda i, r: i % 5 == 4)
    found.run("document.querySelector('#clear').click()")
    found.until("location.hash === ''")
    found.wait()
    assert found.texts("#count") == ["82 trajectories of 82"]
    assert found.run("document.querySelector('#filter-steps-from').value") == ""


def test_every_control_has_a_name(page: Callable[..., Browser]) -> None:
    for view in ("browse", "groups", "compare"):
        unnamed = page(view=view).run(
            "Array.from(document.querySelectorAll('input, select'))"
            ".filter((e) => !e.labels.length && !e.getAttribute('aria-label')).map((e) => e.name)"
        )
        assert unnamed == []


def test_the_changes_are_those_of_the_report(page: Callable[..., Browser]) -> None:
    before, after = (
        {one["index"]: SampleRow.from_json(one) for one in EVALUATED[stage]} for stage in ("warm", "grpo")
    )
    expected = changes(before, after)
    assert all(expected.values()), "every kind of change is among the rows"
    assert (expected[Change.MORE], expected[Change.FEWER]) == ([2, 8], [7, 1]), "the largest change comes first"
    found = page(view="compare")
    assert found.texts(".counts a") == [f"{len(expected[kind])} {kind.value}" for kind in Change]
    pairs = found.run(
        "Array.from(document.querySelectorAll('.pair-card'), (card) => [card.dataset.change,"
        "...Array.from(card.querySelectorAll('section'), (one) => Number(one.dataset.row))])"
    )
    # Rows of warm are numbers 0 to 8, those of grpo 9 to 17, both in the order of the problems.
    assert pairs == [[kind.name.lower(), i, 9 + i] for kind in Change for i in expected[kind]]
    assert found.texts("#count") == ["9 problems of the 9 that both have"]
    for kind in Change:
        found = page(view="compare", change=kind.name.lower())
        numbers = found.run("Array.from(document.querySelectorAll('.pair-card section'), (e) => e.dataset.row)")
        assert numbers == [str(number) for i in expected[kind] for number in (i, 9 + i)]


def test_the_two_checkpoints_stand_side_by_side(page: Callable[..., Browser]) -> None:
    found = page(view="compare", before="run/grpo", after="run/warm", change="lost")
    assert found.texts(".pair-card h3") == ["GRPO, evaluated", "warm start, evaluated"]
    sides = found.run(
        "Array.from(document.querySelectorAll('.pair-card section'), (e) => e.getBoundingClientRect())"
    )
    assert len(sides) == 2
    assert found.run(
        "(([a, b]) => a.right <= b.left && Math.abs(a.top - b.top) < 1)"
        "(Array.from(document.querySelectorAll('.pair-card section'), (e) => e.getBoundingClientRect()))"
    )
    assert found.texts(".pair-card section:first-child .line") == ["grpo 0"]
    assert found.texts(".pair-card section:last-child .line") == [f"warm {n}" for n in range(4)]


def test_only_the_same_problems_of_two_runs_are_compared(browser: Browser, tmp_path: Path) -> None:
    first = write_rows(tmp_path / "a", warm=[row_data(i) for i in range(4)])
    others = [row_data(0, prompt="another"), *(row_data(i) for i in (1, 2, 9))]
    second = write_rows(tmp_path / "b", warm=[row_data(3)], grpo=others)
    write_page(read_trajectories([first, second]), tmp_path / "page.html", overwrite=False)
    browser.open(f"{(tmp_path / 'page.html').as_uri()}#view=compare")
    assert browser.texts(".pair-card:first-of-type h3") == ["a: warm start, evaluated", "b: GRPO, evaluated"]
    assert browser.texts("#count") == ["2 problems of the 2 that both have"]
    assert browser.texts("#warnings p") == ["1 problem with the same number but another text: left out."]


def test_lines_say_of_what_use_they_are(browser: Browser, tmp_path: Path) -> None:
    steps = [
        step_data("into") | {"progress": -math.inf, "use": "wasted"},
        step_data("<backtrack>", "backtrack") | {"progress": math.inf, "use": "needed"},
        step_data("merged") | {"progress": 2.0, "use": "needed"},
        step_data("away") | {"progress": -1.0, "use": "wasted"},
        step_data("one") | {"progress": 1, "use": "skippable"},
        step_data("not valid", verdict="invalid") | {"progress": 0, "use": "wrong"},
        step_data("no idea") | {"use": "unknown"},
        step_data("older run"),
    ]
    # In a Parquet file and in JSON lines.
    for kind, files in (
        ("training", {"training": [row_data(steps=steps)]}),
        ("warm", {"warm": [row_data(steps=steps)]}),
    ):
        write_page(
            read_trajectories([write_rows(tmp_path / kind, **files)]),
            tmp_path / f"{kind}.html",
            overwrite=False,
        )
        browser.open((tmp_path / f"{kind}.html").as_uri())
        assert browser.texts(".steps .use") == [
            "wasted into a dead end",
            "needed out of a dead end",
            "needed +2",
            "wasted −1",
            "skippable +1",
        ]
        lines = "Array.from(document.querySelectorAll('.steps li:has(.use) .line'), (e) => e.textContent)"
        assert browser.run(lines) == ["into", "<backtrack>", "merged", "away", "one"]


def test_detours_are_folded_and_open_on_a_click(page: Callable[..., Browser]) -> None:
    found = page(split="ood_hard", index_from=90, index_to=90)
    # Line 3 is taken back by line 4; lines 2 and 5 and that fold with its backtrack by line 7.
    assert found.texts("article > .body > .steps > li > .line") == [
        "first",
        "<backtrack> 1",
        "second\nline of it",
    ]
    assert found.texts(".detour > summary") == ["3 steps taken back", "1 step taken back"]
    outer = "article > .body > .steps > .fold > details"
    assert found.texts(f"{outer} > .steps > li > .line") == [
        "wrong turn",
        "<backtrack> 2",
        "deeper again",
        "<backtrack> 9",
    ]
    assert found.texts(f"{outer} .fold .line") == ["deeper"]
    assert found.run("Array.from(document.querySelectorAll('.detour'), (e) => e.open)") == [False, False]
    heights = f"document.querySelector({outer + ' .line'!r}).checkVisibility()"
    assert found.run(heights) is False
    found.run("document.querySelector('.detour > summary').click()")
    assert found.run(heights) is True
    marks = found.run(
        "Array.from(document.querySelectorAll('.steps .mark'), (e) => [e.textContent, e.ariaLabel])"
    )
    assert marks[:3] == [
        ["✓", "valid forward step, line 1"],
        ["✗", "invalid forward step, line 2"],
        ["✓", "valid forward step, line 3"],
    ]
    assert ["✗", "invalid backtrack, line 6"] in marks


def test_model_text_stays_text(page: Callable[..., Browser]) -> None:
    found = page(split="ood_hard", index_from=91, index_to=91, tokens=ROW["hostile"])
    assert found.texts(".problem")[0].count("<script>document.title = 'broken'</script>") == 7
    pictured = HOSTILE.replace("\u202e", "[U+202E]").replace("\x00", "[U+0000]").replace("\t", "⇥")
    assert found.texts("article .line") == [pictured, pictured]
    assert found.texts(".problem .prompt") == [pictured]
    assert found.texts("article .badge") == ["✓ verified"]
    assert found.texts(".problem .ctl")[:3] == ["[U+202E]", "[U+0000]", "⇥"]
    assert (
        found.run(
            "document.querySelectorAll('#viewer :is(script, img, svg, b#injected, [onmouseover])').length"
        )
        == 0
    )
    assert found.run("document.title") == "run: trajectories"
    assert found.run("Array.from(document.scripts).filter((one) => one.type === '').length") == 1


def test_an_injected_script_does_not_run(browser: Browser, written: str) -> None:
    browser.open(written)
    browser.run(
        "document.body.append("
        "Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))"
    )
    assert browser.run("document.title") == "run: trajectories"
    assert any("Content Security Policy" in line for line in browser.console)


def token_spans(browser: Browser) -> list[list[str]]:
    found = browser.run(
        "Array.from(document.querySelectorAll('.pieces .token'), (e) => [e.textContent, e.className, e.title])"
    )
    assert isinstance(found, list)
    return found


def test_tokens_show_their_numbers(page: Callable[..., Browser]) -> None:
    found = page(split="ood_hard", index_from=92, index_to=92, tokens=ROW["scalar"])
    assert token_spans(found) == [
        ["1 + 1", "token rare", "token 1 · logprob −0.1 · advantage 0.25"],
        [" = 2↵\n", "token rare below-half", "token 2 · logprob −0.7 · advantage 0.25"],
        ["<script>", "token rare below-half", "token 3 · logprob −2.3026 · advantage 0.25"],
        ["[U+202E]", "token rare", "token 4 · logprob 0 · advantage 0.25"],
        ["<eos>", "token rare", "token 5 · logprob 0 · advantage 0.25"],
    ]
    heats = "Array.from(document.querySelectorAll('.pieces .token'), (e) => e.style.getPropertyValue('--heat'))"
    # The strength is 1 - p: 6 + 54 (1 - exp(-0.1)) = 11.1 and 6 + 54 (1 - 0.1) = 54.6.
    assert [found.run(heats)[at] for at in (0, 2, 3)] == ["11%", "55%", "6%"]
    found.run("document.querySelector('.numbers > summary').click()")
    found.until("document.querySelector('.numbers table')")
    assert found.texts(".numbers th[scope=col]") == ["token", "text", "log-probability", "advantage"]
    assert found.texts(".numbers tbody tr:nth-child(3) > *") == ["3", "<script>", "−2.3026", "0.25"]
    found = page(split="ood_hard", index_from=92, index_to=92, tokens=ROW["scalar"], colour="advantage")
    assert found.texts(".tokens .note") == ["Advantage 0.25 for every token: made likelier made less likely"]


def test_advantages_of_single_tokens_and_what_a_row_lacks(page: Callable[..., Browser]) -> None:
    found = page(split="ood_hard", tokens=f"{ROW['list']},{ROW['detours']}", colour="advantage")
    assert [css for _, css, _ in token_spans(found)] == [
        "token plus",
        "token minus",
        "token",
        "token plus",
        "token minus",
    ]
    assert found.texts(f"#tokens-of-{ROW['detours']}") == ["The run recorded no tokens of this completion."]
    assert found.texts(f"#tokens-of-{ROW['list']} .note") == [
        "The run recorded no log-probability of its tokens.",
        "Advantage from −1 to 2: made likelier made less likely",
    ]


def test_the_switch_of_tokens_is_kept_in_the_address(page: Callable[..., Browser]) -> None:
    found = page(split="ood_hard")
    assert token_spans(found) == []
    switch = f"document.querySelector('#tokens-{ROW['scalar']}')"
    assert found.run(f"{switch}.getAttribute('aria-pressed')") == "false"
    found.run(f"{switch}.click()")
    assert len(token_spans(found)) == 5
    assert found.run("location.hash") == f"#split=ood_hard&tokens={ROW['scalar']}"
    found.open(found.run("location.href"))
    assert found.run(f"{switch}.getAttribute('aria-pressed')") == "true"
    found.run(f"{switch}.click()")
    assert token_spans(found) == []
    assert found.run("location.hash") == "#split=ood_hard"


@pytest.mark.parametrize(
    "state",
    [
        "",
        "split=train&sort=reward&order=down&page=2",
        "view=compare&change=fewer",
        "split=ood_hard&tokens=15,16,17",
    ],
)
def test_the_file_and_the_server_show_the_same(browser: Browser, served: str, written: str, state: str) -> None:
    seen = []
    for address in (served, written):
        browser.open(f"{address}#{state}")
        seen.append(browser.run("document.querySelector('#viewer').outerHTML"))
    assert seen[0] == seen[1]
    assert "article" in seen[0]


def test_the_page_reports_a_server_that_has_ended(browser: Browser, tmp_path: Path) -> None:
    rows = [row_data(i) for i in range(600)]
    with make_server(read_trajectories([write_rows(tmp_path / "a", training=rows)])) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        browser.open(f"http://127.0.0.1:{server.server_address[1]}/")
        server.shutdown()
        thread.join()
    browser.run("location.hash = 'index-from=500'")
    browser.wait()
    assert browser.texts("#warnings p") == [
        "The server does not answer; run stride rollouts again and open the address it prints."
    ]
    assert browser.texts("article") == []
