"""A network as a row of blocks, to fine-tune the last of them only, and to cut it in two between any of them.

Layer by layer for AlexNet (Tajbakhsh et al., IEEE TMI 35 (2016) 1299-1312), block by block for the others (Kandel &
Castelli, Applied Sciences 10 (2020) 3359), where a block is what works at one resolution. Dropout stands in the block
of the layer that it feeds, pooling in the block whose maps it shrinks: what comes out of a block is as small as can be.
"""

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torchvision import models

from overread_learn.nets.classifier import Classifier

__all__ = ["Block", "Part", "blocks", "freeze", "join", "span", "split"]

Step = str | Callable[[torch.Tensor], torch.Tensor]
"""A submodule of torchvision's network, by its dotted name, or what the network's forward does between two of them."""


class Block(NamedTuple):
    """Layers that are trained together or not at all."""

    name: str
    steps: tuple[Step, ...]

    def parameters(self, net: nn.Module) -> list[nn.Parameter]:
        """Return the block's own among the parameters of ``net``."""
        return [
            parameter
            for step in self.steps
            if isinstance(step, str)
            for parameter in net.get_submodule(step).parameters()
        ]


class Part(Classifier):
    """Neighbouring blocks of a classifier under the names that they have there, so that state_dicts fit both.

    It shares its layers with the classifier that it came from. What it maps are the features before its first block to
    those after its last: patches, (n, 3, h, w), in the first part of a network, and logits, (n, classes), out of the
    last. Between them lie maps, (n, c, h, w), or vectors, (n, c).
    """

    def __init__(self, whole: Classifier, chain: Iterable[Block]) -> None:
        """Take the blocks of ``chain``, stem first, out of ``whole``; none leaves the identity."""
        nn.Module.__init__(self)  # not Classifier's: the layers exist already
        self.arch, self.classes, self.head = whole.arch, whole.classes, whole.head
        self.net = nn.Module()
        self._steps = [step for block in chain for step in block.steps]
        for step in self._steps:
            if isinstance(step, str):
                _graft(self.net, step, whole.net.get_submodule(step))
        self.training = whole.training  # the layers' own modes are the classifier's business

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Run the blocks one after another."""
        for step in self._steps:
            features = self.net.get_submodule(step)(features) if isinstance(step, str) else step(features)
        return features


def blocks(model: Classifier) -> tuple[Block, ...]:
    """Return the blocks of a network from the head to the stem; each parameter belongs to exactly one.

    The first holds the last layer alone. Raises ValueError on a network of a family that has no list.
    """
    for family, chain in FAMILIES.items():
        if isinstance(model.net, family):
            return tuple(reversed(chain(model.net)))
    known = ", ".join(family.__name__ for family in FAMILIES)
    raise ValueError(f"{model.arch} has no list of blocks; these families have one: {known}")


def span(model: Classifier, depth: int) -> str:
    """Name the last ``depth`` blocks by the first and the last of them: ``layer3-head``. Raises as `freeze` does."""
    found = _checked(model, depth)
    return found[0].name if depth == 1 else f"{found[depth - 1].name}-{found[0].name}"


def freeze(model: Classifier, depth: int) -> None:
    """Let the last ``depth`` blocks train and nothing else: 1 is the head alone, ``len(blocks(model))`` everything.

    Frozen blocks stay in eval mode whatever mode the network is in: neither do their batch norms gather statistics, nor
    do their dropout and stochastic depth act. What they make of a patch is then the same in every epoch, computed once
    (`split`) or anew. Raises ValueError on another depth.
    """
    found = _checked(model, depth)
    for number, block in enumerate(found, 1):
        for parameter in block.parameters(model.net):
            parameter.requires_grad_(number <= depth)
    model.frozen = tuple(step for block in found[depth:] for step in block.steps if isinstance(step, str))
    model.train(model.training)


def split(model: Classifier, depth: int) -> tuple[Part, Part]:
    """Cut a copy of a network into its trunk, frozen and in eval mode, and the rest: the last ``depth`` blocks.

    ``rest(trunk(patches))`` is ``model(patches)``, and the rest trains as a classifier does, on features in place of
    patches. Raises ValueError as `freeze` does.
    """
    whole = copy.deepcopy(model)
    freeze(whole, depth)
    found = blocks(whole)
    trunk, rest = Part(whole, reversed(found[depth:])), Part(whole, reversed(found[:depth]))
    return trunk.eval(), rest


def join(model: Classifier, trained: Classifier) -> Classifier:
    """Return a copy of ``model`` with the weights of a rest of it that was trained apart, in eval mode."""
    whole = copy.deepcopy(model)
    whole.load_state_dict(trained.state_dict(), strict=False)  # the trunk's are not among a rest's
    return whole.eval()


def _checked(model: Classifier, depth: int) -> tuple[Block, ...]:
    found = blocks(model)
    if not 1 <= depth <= len(found):
        raise ValueError(f"{model.arch} has depths 1 (the head) to {len(found)} (everything), got {depth}")
    return found


def _graft(root: nn.Module, name: str, layer: nn.Module) -> None:
    """Hang ``layer`` below ``root`` under a dotted name, with empty modules on the way there."""
    *path, last = name.split(".")
    for step in path:
        if not hasattr(root, step):
            root.add_module(step, nn.Module())
        root = root.get_submodule(step)
    root.add_module(last, layer)


# The families. Each function returns the blocks from the stem to the head, as torchvision's forward runs them.

_flatten = partial(torch.flatten, start_dim=1)


def _relu(maps: torch.Tensor) -> torch.Tensor:
    return functional.relu(maps)


def _mean(maps: torch.Tensor) -> torch.Tensor:
    """Average each map: (n, c, h, w) to (n, c)."""
    return _flatten(functional.adaptive_avg_pool2d(maps, (1, 1)))


def _layers(prefix: str, *names: int) -> tuple[str, ...]:
    return tuple(f"{prefix}.{name}" for name in names)


def _stages(net: nn.Module) -> list[tuple[str, ...]]:
    """Group the layers of ``net.features`` by resolution: a strided convolution begins a stage, a pooling ends one."""
    found: list[list[str]] = [[]]
    for name, layer in net.get_submodule("features").named_children():
        strided = any(isinstance(part, nn.Conv2d) and part.stride != (1, 1) for part in layer.modules())
        if strided and found[-1]:
            found.append([])
        found[-1].append(f"features.{name}")
        if isinstance(layer, nn.MaxPool2d):
            found.append([])
    return [tuple(stage) for stage in found if stage]


def _sequence(net: nn.Module, *after: Step) -> list[Block]:
    """Return the stages of ``net.features``; ``after`` is what joins the last of them."""
    *first, last = _stages(net)
    stages: list[tuple[Step, ...]] = [*first, (*last, *after)]
    return [Block("stem" if number == 1 else f"stage{number}", stage) for number, stage in enumerate(stages, 1)]


def _alexnet(_: nn.Module) -> list[Block]:
    return [
        Block("conv1", _layers("features", 0, 1, 2)),
        Block("conv2", _layers("features", 3, 4, 5)),
        Block("conv3", _layers("features", 6, 7)),
        Block("conv4", _layers("features", 8, 9)),
        Block("conv5", _layers("features", 10, 11, 12)),
        Block("fc6", ("avgpool", _flatten, *_layers("classifier", 0, 1, 2))),
        Block("fc7", _layers("classifier", 3, 4, 5)),
        Block("fc8", _layers("classifier", 6)),
    ]


def _vgg(net: nn.Module) -> list[Block]:
    hidden = Block("hidden", ("avgpool", _flatten, *_layers("classifier", 0, 1, 2, 3, 4)))
    return [*_sequence(net), hidden, Block("head", _layers("classifier", 5, 6))]


def _resnet(_: nn.Module) -> list[Block]:
    return [
        Block("stem", ("conv1", "bn1", "relu", "maxpool")),
        *(Block(f"layer{number}", (f"layer{number}",)) for number in (1, 2, 3)),
        Block("layer4", ("layer4", "avgpool", _flatten)),
        Block("head", ("fc",)),
    ]


def _densenet(_: nn.Module) -> list[Block]:
    stem = tuple(f"features.{name}0" for name in ("conv", "norm", "relu", "pool"))
    return [
        Block("stem", stem),
        *(
            Block(f"dense{number}", (f"features.denseblock{number}", f"features.transition{number}"))
            for number in (1, 2, 3)
        ),
        Block("dense4", ("features.denseblock4", "features.norm5", _relu, _mean)),
        Block("head", ("classifier",)),
    ]


def _squeezenet(net: nn.Module) -> list[Block]:
    return [*_sequence(net), Block("head", ("classifier", _flatten))]


def _mobilenet_v2(net: nn.Module) -> list[Block]:
    return [*_sequence(net, _mean), Block("head", ("classifier",))]


def _mobilenet_v3(net: nn.Module) -> list[Block]:
    stages = _sequence(net, "avgpool", _flatten)
    return [*stages, Block("hidden", _layers("classifier", 0, 1)), Block("head", _layers("classifier", 2, 3))]


def _efficientnet(net: nn.Module) -> list[Block]:
    return [*_sequence(net, "avgpool", _flatten), Block("head", ("classifier",))]


def _convnext(net: nn.Module) -> list[Block]:
    stages = _sequence(net, "avgpool", *_layers("classifier", 0, 1))
    return [*stages, Block("head", _layers("classifier", 2))]


def _tensorflow_range(patches: torch.Tensor) -> torch.Tensor:
    """Turn ImageNet's normalisation into that of Inception's weights, 0..1 to -1..1, as torchvision does."""
    std, mean = (0.229, 0.224, 0.225), (0.485, 0.456, 0.406)
    channels = [patches[:, [c]] * (std[c] / 0.5) + (mean[c] - 0.5) / 0.5 for c in range(3)]
    return torch.cat(channels, 1)


def _inception(_: nn.Module) -> list[Block]:
    before = tuple(f"Conv2d_{name}" for name in ("1a_3x3", "2a_3x3", "2b_3x3"))
    mixed5, mixed6, mixed7 = (
        tuple(f"Mixed_{number}{letter}" for letter in letters)
        for number, letters in ((5, "bcd"), (6, "abcde"), (7, "abc"))
    )
    return [
        Block("stem", (_tensorflow_range, *before, "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2")),
        Block("mixed5", mixed5),
        Block("mixed6", mixed6),
        Block("mixed7", (*mixed7, "avgpool", _flatten)),
        Block("head", ("dropout", "fc")),
    ]


FAMILIES: dict[type[nn.Module], Callable[[nn.Module], list[Block]]] = {
    models.AlexNet: _alexnet,
    models.ConvNeXt: _convnext,
    models.DenseNet: _densenet,
    models.EfficientNet: _efficientnet,
    models.Inception3: _inception,
    models.MobileNetV2: _mobilenet_v2,
    models.MobileNetV3: _mobilenet_v3,
    models.ResNet: _resnet,
    models.SqueezeNet: _squeezenet,
    models.VGG: _vgg,
}
"""torchvision's class of each family that has a list, and the list."""
