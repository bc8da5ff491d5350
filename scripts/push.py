"""Upload a trained model to the Hugging Face hub.

MODEL is the folder of a run (its last model) or a model folder. The repository is created if it does not exist,
and gets a model card with the run's results unless the folder has one. Log in with `hf auth login` or HF_TOKEN.
"""

from __future__ import annotations

from pathlib import Path

from scripts.arguments import Arguments
from scripts.exits import user_errors


def main(argv: list[str] | None = None) -> int:
    """Parse arguments, upload, print the address."""
    parser = Arguments("push", about=f"{__doc__}", example="stride push runs/quickstart user/model --private")
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder of a run or of a model")
    parser.add_argument("repo_id", metavar="REPO_ID", help="owner/name on the hub")
    parser.add_argument("--private", action="store_true", help="create the repository private")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to upload to; default: the main one")
    arguments = parser.parse_args(argv)
    with user_errors():
        from rl.models.push import push

        print(push(arguments.model, arguments.repo_id, private=arguments.private, revision=arguments.revision))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
