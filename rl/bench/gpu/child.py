"""The process of one part: writes every figure to a file of JSON lines as soon as it is measured.

The last line says how the part ended. A part that is stopped (SIGTERM) or fails keeps what it has measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import traceback
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from envs.one_line import one_line
from rl.bench.gpu.figure import PartSkippedError, Setting


def main(argv: list[str] | None = None) -> int:
    """Measure one part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part")
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    setting = Setting(device=arguments.device, tiny=arguments.tiny)
    with arguments.out.open("w") as file:

        def write(**row: Any) -> None:
            file.write(json.dumps(row) + "\n")
            file.flush()

        try:
            for figure in import_module(f"rl.bench.gpu.parts.{arguments.part}").measure(setting):
                write(figure=asdict(figure))
        except PartSkippedError as reason:
            write(skipped=str(reason))
        except Exception as error:
            traceback.print_exc()
            write(failed=one_line(f"{type(error).__name__}: {error}", most=500))
            return 1
        else:
            write(done=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
