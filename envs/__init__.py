"""Verifiable reasoning tasks: problems, traces, and checks of every step."""

from envs.base import Demonstration, Env
from envs.generated import Draw, EnvSettings, GeneratedEnv
from envs.grading import Grade, GraderError
from envs.path import StepError
from envs.problem import Problem, Split
from envs.registry import ENVS, make_env, make_example
from envs.thinking import Thinking
from envs.trace import Backtrack, Status, Step, StepKind, Trace, Verdict, parse_trace, render_trace

__all__ = [
    "ENVS",
    "Backtrack",
    "Demonstration",
    "Draw",
    "Env",
    "EnvSettings",
    "GeneratedEnv",
    "Grade",
    "GraderError",
    "Problem",
    "Split",
    "Status",
    "Step",
    "StepError",
    "StepKind",
    "Thinking",
    "Trace",
    "Verdict",
    "make_env",
    "make_example",
    "parse_trace",
    "render_trace",
]
