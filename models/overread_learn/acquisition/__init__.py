"""Which candidates to ask a reader about next."""

from overread_learn.acquisition.pool import EmptyPool, Pool
from overread_learn.acquisition.select import Pick, select
from overread_learn.acquisition.strategy import AUTO, GRAMMAR, STRATEGIES, Strategy, strategy

__all__ = ["AUTO", "GRAMMAR", "STRATEGIES", "EmptyPool", "Pick", "Pool", "Strategy", "select", "strategy"]
