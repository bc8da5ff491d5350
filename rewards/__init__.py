"""Rewards: plain functions of a problem and its checked traces, composed by the config."""

from rewards.compose import RewardSum, Term
from rewards.registry import REWARDS, Reward, find_reward
from rewards.types import Outcome, Score

__all__ = ["REWARDS", "Outcome", "Reward", "RewardSum", "Score", "Term", "find_reward"]
