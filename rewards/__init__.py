"""Rewards: plain functions of a problem and its checked traces, composed by the config."""

from rewards.compose import RewardSum, Term, When
from rewards.history import History, RunHistory
from rewards.registry import REWARDS, Reward, find_reward
from rewards.types import Outcome, Score, Scorer
from rewards.user import UnscoredError, UserReward, reward

__all__ = [
    "REWARDS",
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
