"""Check that environments keep their contract.

Problems are deterministic and splits disjoint, every reference trace is accepted, near misses are refused.
Without a NAME every registered environment is checked. A new environment is ready when this passes.
"""

from __future__ import annotations

from scripts.arguments import Arguments, closest


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, check, print one line per environment."""
    parser = Arguments("check", about=f"{__doc__}", example="stride check addition countdown")
    parser.add_argument("names", nargs="*", metavar="NAME", help="registered environments; default: all")
    parser.add_argument("-n", "--num-problems", type=int, default=200, help="problems per split (default 200)")
    arguments = parser.parse_args(argv)
    if arguments.num_problems < 1:
        parser.error(f"--num-problems is {arguments.num_problems}; give at least 1")
    from envs import ENVS
    from envs.check.command import main as check

    for name in arguments.names:
        if name not in ENVS:
            hint = closest(name, list(ENVS))
            parser.error(f"unknown environment '{name}'{hint} known: {', '.join(ENVS)}")
    return check([*arguments.names, "--num-problems", str(arguments.num_problems)])


if __name__ == "__main__":
    raise SystemExit(main())
