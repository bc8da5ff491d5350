"""Hold environments to their contract.

Problems are deterministic and splits disjoint, every reference trace is accepted, near misses are refused.
Without a NAME every registered environment is checked. A new environment is ready when this passes.
"""

from __future__ import annotations

from scripts.arguments import Arguments, closest
from scripts.exits import user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, check, print one line per environment."""
    parser = Arguments("check", about=f"{__doc__}", example="stride check addition countdown")
    parser.add_argument("names", nargs="*", metavar="NAME", help="registered environments; default: all")
    arguments = parser.parse_args(argv)
    with user_errors():
        from envs import ENVS
        from envs.check import contract

        for name in arguments.names:
            if name not in ENVS:
                parser.error(
                    f"unknown environment '{name}'{closest(name, list(ENVS))} known: {', '.join(ENVS)}"
                )
        return contract.main(arguments.names)


if __name__ == "__main__":
    raise SystemExit(main())
