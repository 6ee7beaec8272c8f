"""Which candidates to ask a reader about next."""

from overread_learn.acquisition.registry import STRATEGIES, Pick, Strategy, rank

__all__ = ["STRATEGIES", "Pick", "Strategy", "rank"]
