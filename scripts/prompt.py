"""Show the prompts of a config before a run: exact text and token ids, for one problem of each split.

The model's tokenizer and chat template are used, so the model must be there. The end of the output says what
the warm start teaches after the prompt, and which tokens end a completion.
"""

from __future__ import annotations

from scripts.arguments import Arguments
from scripts.exits import user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, render, print."""
    parser = Arguments("prompt", about=f"{__doc__}", example="stride prompt smollm2 prompt.few_shot=2")
    parser.add_argument("config", metavar="CONFIG", help="YAML file, or the name of a shipped config")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="config keys, dotted")
    parser.add_argument("--index", type=int, default=0, metavar="N", help="problem of each split (default 0)")
    arguments = parser.parse_intermixed_args(argv)
    if arguments.index < 0:
        parser.error(f"--index is {arguments.index}; problems are numbered from 0")
    with user_errors():
        from configs import load_config
        from rl.prompt_preview import preview_prompts

        print(preview_prompts(load_config(arguments.config, arguments.overrides), index=arguments.index))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
