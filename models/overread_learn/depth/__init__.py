"""How deep to fine-tune: the last blocks on cached features, the search over depths, and depth against data."""

from overread_learn.depth.cache import Drawn, drawn, features, finetune_last
from overread_learn.depth.held import Figure, Held, figure, judge
from overread_learn.depth.search import Row, Search, due, search, shallowest
from overread_learn.depth.study import SCRATCH, Cohort, Depth, Finding, Key, Network, Share, find, stratified, wished

__all__ = [
    "SCRATCH",
    "Cohort",
    "Depth",
    "Drawn",
    "Figure",
    "Finding",
    "Held",
    "Key",
    "Network",
    "Row",
    "Search",
    "Share",
    "drawn",
    "due",
    "features",
    "figure",
    "find",
    "finetune_last",
    "judge",
    "search",
    "shallowest",
    "stratified",
    "wished",
]
