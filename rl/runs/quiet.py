"""Keeps the bars and notes of libraries off the progress line."""

from __future__ import annotations

import warnings

import datasets
from huggingface_hub.utils import disable_progress_bars
from transformers.utils import logging


def quiet_libraries() -> None:
    """Switch the progress bars of transformers, datasets and huggingface_hub off, and transformers' notes."""
    # TRL 1.16 reads a name that transformers changed in 5.24.
    warnings.filterwarnings(
        "ignore", message=".is_gradient_checkpointing. is deprecated", category=FutureWarning
    )
    # Saving an adapter, PEFT looks for the base model on the hub, also for a path or a GGUF file.
    warnings.filterwarnings("ignore", message="Could not find a config file in ", category=UserWarning)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    disable_progress_bars()
