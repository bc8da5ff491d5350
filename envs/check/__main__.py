"""`python -m envs.check [NAME ...]`: check environments against the contract."""

import sys

from envs.check.command import main

sys.exit(main(sys.argv[1:]))
