"""A sandbox that runs graders on hostile text in a process that can be killed."""

from envs.sandbox.client import Reply, ReplyStatus, Sandbox

__all__ = ["Reply", "ReplyStatus", "Sandbox"]
