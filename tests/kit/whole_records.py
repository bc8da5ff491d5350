"""Records of a run with every field set, and with text that breaks careless readers and writers."""

from __future__ import annotations

import math

from envs import StepKind, Verdict
from envs.line_facts import LineUse
from rewards import Outcome
from rl.runs.record import Stage, Summary
from tests.kit.runs_by_hand import bucket_result, sample, split_result, step

ODD = 'x", "pieces": ["y"], "logprobs": [1], \u202e \ud800 \x00 \u2028 </script> ☃\r\n\''
STEPS = (
    step(ODD, reason=ODD, verdict=Verdict.INVALID, undone=True)._replace(progress=-math.inf, use=LineUse.WRONG),
    step("<backtrack> 0", StepKind.BACKTRACK)._replace(progress=math.inf, use=LineUse.NEEDED),
    step("Wait, no.", StepKind.MARKER, Verdict.UNCHECKED)._replace(use=LineUse.UNKNOWN),
    step("7"),
)
SAMPLE = sample(
    text=ODD,
    prompt=ODD,
    stated=None,
    outcome=Outcome.CORRECT,
    reward=-0.5,
    parts={"correct": 1.0, "step_count": -1.5},
    steps=STEPS,
    pieces=('"], "logprobs": [', "]", "\n"),
    logprobs=(-0.5, -1e-9, 0.0),
    advantage=0.25,
    rendered_prompt=ODD,
    form="sentence",
)
RESULT = split_result(
    0.9,
    3.0,
    backtrack_depth=2.0,
    sampled_accuracy=0.5,
    sampled_steps_per_correct=2.5,
    pass_at_k={"1": 0.5, "2": 0.75},
    strict_accuracy=0.25,
    errors={"queue": 0.1},
    buckets={"3": bucket_result(0.75, queue=0.25), "4": bucket_result(1.0)},
)
SUMMARY = Summary(
    stages={Stage.BASE: {}, Stage.WARM: {"id": RESULT, "ood_easy": split_result(0.0, None)}},
    updates={Stage.WARM: 5},
    train_s={Stage.WARM: 1.5},
    eval_s={Stage.BASE: 0.25, Stage.WARM: 2.0},
    warnings=(ODD,),
)
