"""Adaptive pooling as two constant matrices: ONNX knows windows of one size alone, which need an input that divides.

AlexNet and VGG pool to 6 x 6 and 7 x 7 whatever comes, at 64 px from 1 x 1 and 2 x 2. A file has patches of one size,
so the windows of PyTorch's `AdaptiveAvgPool2d` are constants in it.
"""

import torch
from torch import nn
from torch.nn import functional

__all__ = ["with_fixed_pools"]


class _FixedPool(nn.Module):
    """Mean over windows of maps, (n, c, h, w) to (n, c, rows, columns)."""

    def __init__(self, size: tuple[int, int], wanted: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("down", _windows(size[0], wanted[0]))
        self.register_buffer("across", _windows(size[1], wanted[1]).T.contiguous())

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        down, across = self.get_buffer("down"), self.get_buffer("across")
        return down @ maps @ across


def with_fixed_pools(model: nn.Module, example: torch.Tensor) -> nn.Module:
    """Put matrices where ``model`` pools maps whose sides its windows don't divide, by an example; return the model."""
    seen: dict[str, tuple[int, int]] = {}
    pools = {name: part for name, part in model.named_modules() if isinstance(part, nn.AdaptiveAvgPool2d)}

    def note(name: str, maps: torch.Tensor) -> None:
        seen[name] = (maps.shape[-2], maps.shape[-1])

    hooks = [
        part.register_forward_pre_hook(lambda _, given, name=name: note(name, given[0])) for name, part in pools.items()
    ]
    try:
        with torch.inference_mode():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
    for name, size in seen.items():
        wanted = _wanted(pools[name], size)
        if any(side % out for side, out in zip(size, wanted, strict=True)):
            model.set_submodule(name, _FixedPool(size, wanted))
    return model


def _wanted(pool: nn.AdaptiveAvgPool2d, size: tuple[int, int]) -> tuple[int, int]:
    """Return what the pool makes of a map of that size; a side that it does not name stays as it is."""
    rows, columns = pool.output_size if isinstance(pool.output_size, tuple) else (pool.output_size, pool.output_size)
    return size[0] if rows is None else rows, size[1] if columns is None else columns


def _windows(side: int, wanted: int) -> torch.Tensor:
    """Return PyTorch's mean over each window as a row, (wanted, side): what it makes of each place alone."""
    return functional.adaptive_avg_pool1d(torch.eye(side)[None], wanted)[0].T.contiguous()
