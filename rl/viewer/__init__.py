"""The trajectory viewer: a page with the completions of some runs, served or written as a file."""

from rl.viewer.page import check_free, write_page
from rl.viewer.read import Trajectories, read_trajectories
from rl.viewer.server import make_server, serve

__all__ = ["Trajectories", "check_free", "make_server", "read_trajectories", "serve", "write_page"]
