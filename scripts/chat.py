"""Ask a trained model, and see every step of its answer checked.

MODEL is the folder of a run (its last model and its config are used), a model folder, a hub id, or `config`
for the config's own policy; only a run needs no CONFIG. Without --index or --question, lines are read from
standard input: a number is a problem of the split, an empty line the next one, `q` ends, and any other text is
a question in the task's own form.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from scripts.arguments import Arguments
from scripts.exits import user_errors
from scripts.find_model import add_model, find_model, parse_with_model

if TYPE_CHECKING:
    from envs import Split
    from rl.chat import Chat, Question


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, load the model, answer."""
    parser = Arguments("chat", about=f"{__doc__}", example="stride chat runs/quickstart --split id --index 3")
    add_model(parser)
    parser.add_argument("--split", default="id", choices=["train", "id", "ood_easy", "ood_hard"])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--index", type=int, metavar="N", help="one problem of the split, then end")
    what.add_argument("--question", metavar="TEXT", help="one question in the task's own form, then end")
    parser.add_argument("--answer", metavar="TEXT", help="the right answer to --question")
    parser.add_argument(
        "--samples", type=int, default=1, metavar="G", help="answers to each question (default 1)"
    )
    parser.add_argument("--temperature", type=float, default=0.0, help="0, the default, is greedy")
    parser.add_argument(
        "--show-prompt", action="store_true", help="show the prompt as the model gets it, and its token ids"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default 0)")
    arguments = parse_with_model(parser, argv)
    if arguments.answer is not None and arguments.question is None:
        parser.error("--answer belongs to --question; give both")
    if arguments.samples < 1 or arguments.temperature < 0:
        parser.error("--samples is at least 1 and --temperature at least 0")
    if arguments.index is not None and arguments.index < 0:
        parser.error(f"--index is {arguments.index}; problems are numbered from 0")
    with user_errors():
        model, config = find_model("chat", arguments.model, arguments.config, arguments.overrides)
        from envs import Split
        from rl.chat import open_chat

        split, show_prompt = Split(arguments.split), arguments.show_prompt
        with open_chat(
            model,
            config,
            temperature=arguments.temperature,
            num_samples=arguments.samples,
            seed=arguments.seed,
        ) as chat:
            if arguments.index is not None:
                _answer(chat, _from_split(chat, split, arguments.index), show_prompt)
            elif arguments.question is not None:
                _answer(chat, chat.typed(arguments.question, arguments.answer), show_prompt)
            else:
                _converse(chat, split, show_prompt)
    return 0


def _from_split(chat: Chat, split: Split, index: int) -> Question:
    from configs import ConfigError

    try:
        return chat.from_split(split, index)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _answer(chat: Chat, question: Question, show_prompt: bool) -> None:
    from rl.chat import describe

    print(chat.prompt(question) if show_prompt else question.problem.prompt.rstrip())
    print(describe(question, chat.ask(question)), flush=True)


def _converse(chat: Chat, split: Split, show_prompt: bool) -> None:
    index = -1
    while True:
        print(f"\n{split}, Enter for problem {index + 1}, q to end> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        text = line.strip()
        if not line or text == "q":
            return
        if not text or (text.isascii() and text.isdigit() and len(text) < 10):
            index = int(text) if text else index + 1
            _answer(chat, _from_split(chat, split, index), show_prompt)
        else:
            _answer(chat, chat.typed(text.replace("\\n", "\n"), None), show_prompt)


if __name__ == "__main__":
    raise SystemExit(main())
