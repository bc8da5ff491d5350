"""What an evaluation leaves in a run's folder: completions, results in `summary.json`, the model card."""

from __future__ import annotations

from configs import Config
from rl.evaluate import Evaluation
from rl.models.card import write_model_card
from rl.runs.files import set_aside
from rl.runs.folder import RunFolder
from rl.runs.log import sample_rows
from rl.runs.models import TrainedModel
from rl.runs.record import Stage
from rl.search.record import stage_folder
from rollout.encoder import Encoder


def write_evaluation(
    folder: RunFolder,
    config: Config,
    stage: Stage,
    evaluation: Evaluation,
    encoder: Encoder,
    *,
    seconds: float,
) -> None:
    """Write the evaluation of a stage, over an earlier one of the same stage.

    Args:
        folder: The run.
        config: Its `name` and `eval` are used.
        stage: The stage evaluated.
        evaluation: Its results and completions.
        encoder: Gives the text of each token.
        seconds: How long it took.
    """
    sampled = evaluation.sampled if config.eval.keep_samples else {}
    for greedy, groups in ((True, evaluation.greedy), (False, sampled)):
        log = folder.evaluation(stage, greedy=greedy)
        log.path.unlink(missing_ok=True)
        for group in [group for found in groups.values() for group in found]:
            log.append(*sample_rows(stage, 0, group, encoder, tokens=greedy))
    searched = stage_folder(folder.path, stage)
    if not config.eval.search and searched.exists():  # with other weights
        set_aside(searched, "replaced")
    folder.write_summary(folder.summary().with_results(stage, evaluation.results, seconds))
    if (model := folder.model(stage)).is_dir():
        write_model_card(TrainedModel(path=model, run=folder.path, stage=stage), f"{config.name}-{stage}")
