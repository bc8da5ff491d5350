"""Rewards: plain functions of a problem and its checked traces, composed by the config."""

from rewards.compose import RewardSum, Term, When
from rewards.declare import Declaration, reward
from rewards.history import History, RunHistory
from rewards.registry import REWARDS, Reward, find_reward
from rewards.types import Outcome, Score, Scorer
from rewards.user import UnscoredError, UserReward

__all__ = [
    "REWARDS",
    "Declaration",
    "History",
    "Outcome",
    "Reward",
    "RewardSum",
    "RunHistory",
    "Score",
    "Scorer",
    "Term",
    "UnscoredError",
    "UserReward",
    "When",
    "find_reward",
    "reward",
]
