"""`scripts/rollouts.py`: the page as a file, the server from start to end, and mistakes as one line."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from scripts.rollouts import main
from tests.kit.file_rows import row_data, write_rows

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_rows(tmp_path / "done", training=[row_data(0), row_data(1)], warm=[row_data(0)])


def test_it_writes_the_page(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--html", "page.html"]) == 0
    assert capsys.readouterr().out == "3 trajectories: page.html\n"
    first = Path("page.html").read_bytes()
    assert main([str(run), "--html", "page.html", "--overwrite"]) == 0
    assert Path("page.html").read_bytes() == first, "the same bytes for the same folder"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "there is no run in nothing (no config.yaml); give the folder of a run"),
        (["done", "nothing"], "there is no run in nothing"),
        (["done", "done"], "done is given twice; give each run once"),
        (["done", "--html", "mine.html"], "mine.html already exists; replace it with --overwrite"),
        (["done", "--html", "no/page.html"], "there is no folder no; make it or give another file"),
        (["done", "--html", "done"], "done is a folder; give a file, such as done/rollouts.html"),
        (["done", "--port", "70000"], "--port 70000 is not a port; give one from 1 to 65535"),
        (["broken"], "broken/eval/base.jsonl cannot be read: row 1 is damaged"),
        (["done", "--updates", "7-9"], "--updates 7-9: the run in done has no samples of these updates"),
        (["done", "--updates", "9-7"], "'9-7' is no range of updates; give one such as 490-500, or one update"),
    ],
)
def test_a_mistake_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    Path("mine.html").write_text("years of work")
    broken = write_rows(Path("broken"))
    (broken / "eval" / "base.jsonl").write_text("{]\n")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert says in err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_taken_port_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(SystemExit) as ended:
            main([str(run), "--port", port])
    assert ended.value.code == 2
    assert re.fullmatch(f"error: --port {port} cannot be used .*give another.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_terminated(run: Path, how: signal.Signals) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "rollouts.py"), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.match(r"(http://127\.0\.0\.1:\d+/)  \(3 trajectories; Ctrl-C ends the server\)\n", line)
        assert address is not None, line
        with urllib.request.urlopen(address[1], timeout=120) as answer:
            assert b"<title>done: trajectories</title>" in answer.read()
        os.kill(process.pid, how)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.slow
def test_a_server_that_listens_further_prints_a_link_with_its_token(run: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "rollouts.py"), str(run), "--host", "0.0.0.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        link = re.match(r"http://[^/]+:(\d+)/(\?token=\S+)  ", process.stdout.readline())
        assert link is not None
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(f"http://127.0.0.1:{link[1]}/{link[2]}", timeout=120) as answer:
            assert answer.url.endswith("/") and b"<title>done: trajectories</title>" in answer.read()
        process.terminate()
        assert process.wait(timeout=120) == 0


def test_a_page_and_a_port_exclude_each_other(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(run), "--port", "8000", "--html", "page.html"])
    assert ended.value.code == 2
    assert "--html: not allowed with argument --port" in capsys.readouterr().err
