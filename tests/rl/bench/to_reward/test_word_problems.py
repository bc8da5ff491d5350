"""The generated word problems: right, distinct, and read by the task of mathematics."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from envs import Split, make_env
from rl.bench.to_reward.word_problems import make_word_problem, write_word_problems

EQUATION = re.compile(r"([0-9]+) ([-+*]) ([0-9]+) = ([0-9]+)")


def test_every_line_continues_with_the_result_before_it() -> None:
    rng = random.Random(3)
    for _ in range(200):
        row = make_word_problem(rng)
        numbers = [int(number) for number in re.findall("[0-9]+", row["question"])]
        *lines, last = row["answer"].split("\n")
        assert 2 <= len(lines) <= 8 and len(numbers) == len(lines) + 1
        now = numbers[0]
        for line, number in zip(lines, numbers[1:], strict=True):
            found = EQUATION.search(line)
            assert found is not None
            left, sign, right, result = int(found[1]), found[2], int(found[3]), int(found[4])
            assert (left, right) == (now, number)
            assert result == {"+": left + right, "-": left - right, "*": left * right}[sign]
            assert 1 <= result <= 99
            now = result
        assert last == f"#### {now}"


def test_signs_are_those_of_the_sentences() -> None:
    signs = {"buys": "+", "finds": "+", "adds": "+", "gives": "-", "loses": "-", "sells": "-", "gets": "*"}
    row = make_word_problem(random.Random(0))
    told = [signs[word] for word in re.findall("[a-z]+", row["question"]) if word in signs]
    assert told == [match[1] for match in EQUATION.findall(row["answer"])]


def test_the_file_is_written_once_and_read_by_the_task(tmp_path: Path) -> None:
    path = tmp_path / "data" / "problems.jsonl"
    write_word_problems(path, num_problems=60)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({row["question"] for row in rows}) == 60
    written = path.stat().st_mtime_ns
    write_word_problems(path, num_problems=10)
    assert path.stat().st_mtime_ns == written
    env = make_env("math", {"preset": "gsm8k", "train": str(path)})
    for split in (Split.TRAIN, Split.ID):
        problem = env.problem(split, 0)
        text = env.demonstrate(env.full_trace(problem), problem.answer)
        assert env.check(problem, env.parse(text)).passed
