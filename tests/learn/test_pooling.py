"""Adaptive pooling to sides that do not divide: the file says what PyTorch says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from overread_learn.applications import load
from overread_learn.export import export, parity
from overread_learn.export.pooling import with_fixed_pools
from overread_learn.nets import build


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 5), (6, 13), (12, 6)])
@pytest.mark.parametrize("wanted", [6, (6, 7), (None, 4), (3, None), 1])
def test_matrices_pool_as_pytorch_does(size: tuple[int, int], wanted: int | tuple[int | None, int | None]) -> None:
    maps = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(wanted))  # type: ignore[arg-type]
    expected = pool(maps)
    torch.testing.assert_close(with_fixed_pools(pool, maps)(maps), expected, atol=1e-6, rtol=1e-5)


def test_windows_that_divide_stay_what_they_are() -> None:
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(3))
    assert isinstance(with_fixed_pools(pool, torch.zeros(1, 1, 6, 9))[0], nn.AdaptiveAvgPool2d)  # type: ignore[index]
    assert not isinstance(with_fixed_pools(pool, torch.zeros(1, 1, 7, 9))[0], nn.AdaptiveAvgPool2d)  # type: ignore[index]


def test_an_alexnet_of_small_patches_is_exported(tmp_path: Path) -> None:
    application = replace(load("fundus-microaneurysm"), input_px=64)
    model = build("alexnet", 2, None, seed=1)
    torch.nn.init.normal_(model.net.get_parameter(f"{model.head}.weight"), std=0.3)
    export(model, application, tmp_path / "model.onnx", extra={})
    patches = np.random.default_rng(0).normal(size=(3, 3, 64, 64)).astype(np.float32)
    assert parity(model, tmp_path / "model.onnx", patches) <= 1e-4
