"""A torchvision classifier with a head of our own."""

import io
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

from overread_learn.applications import Application
from overread_learn.nets.weights import imagenet, is_state_dict, read, unpack

__all__ = [
    "Classifier",
    "application_of",
    "build",
    "check_input",
    "from_bytes",
    "parameters_by_role",
    "temperature_of",
    "to_bytes",
]

HEADS = ("fc", "classifier", "head", "heads")
"""Where torchvision's families keep their last layer."""

INCEPTION = {"aux_logits": False, "transform_input": True, "init_weights": True}
"""Inception v3 without its auxiliary head, for patches normalised as for the other networks, drawn as published."""

OPTIONS: Mapping[str, Mapping[str, bool]] = {
    "inception_v3": INCEPTION,
    "googlenet": {"init_weights": False},  # left out, it warns in lines of its own before it is refused
}
"""What torchvision is told beside a network's name."""

AUXILIARY = "AuxLogits."
"""Where published weights of Inception v3 keep the auxiliary head that is not built."""

WANTED = "a model.pt, as `overread-learn finetune` writes it"
"""What bytes of a network are to be."""


class Classifier(nn.Module):
    """A network that maps patches, (n, 3, h, w), to logits, (n, classes), and knows what it is called."""

    frozen: tuple[str, ...] = ()
    """Dotted names of what within ``net`` stays in eval mode: `overread_learn.nets.blocks.freeze` says which."""
    at_random: bool = False
    """Whether the line of models that it belongs to began with random weights: they learn at other rates."""

    def __init__(self, arch: str, classes: int) -> None:
        """Build torchvision's ``arch`` with random weights and a last layer of ``classes`` outputs.

        Raises ValueError on an unknown name, a network whose last layer is not found, or fewer than two classes.
        """
        super().__init__()
        if arch not in torchvision.models.list_models(module=torchvision.models):
            raise ValueError(
                f"unknown network {arch!r}; torchvision knows squeezenet1_1, mobilenet_v2, resnet18 and others"
            )
        if classes < 2:  # one class leaves nothing to decide
            raise ValueError(f"a classifier needs at least two classes, got {classes}")
        self.arch = arch
        self.classes = classes
        self.net: nn.Module = torchvision.models.get_model(arch, weights=None, **OPTIONS.get(arch, {}))
        if getattr(self.net, "aux_logits", False):
            raise ValueError(f"{arch} has auxiliary heads, which the continual step does not train")
        self.head = _last_layer(arch, self.net)
        """Dotted name of the last layer within ``net``."""
        self._replace_head()

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return the logits, (n, classes), of (n, 3, h, w)."""
        logits: torch.Tensor = self.net(patches)
        return logits

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all that is not frozen; what is frozen is in eval mode."""
        super().train(mode)
        for name in self.frozen:
            self.net.get_submodule(name).eval()
        return self

    def embed(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits, (n, classes), and what entered the last layer, (n, d).

        A convolution's input is averaged over its places first. In eval mode a linear last layer, and SqueezeNet's
        convolution, which is averaged afterwards, map the embedding to the logits.
        """
        seen: list[torch.Tensor] = []
        hook = self.net.get_submodule(self.head).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            logits = self(patches)
        finally:
            hook.remove()
        return logits, seen[0].mean(dim=(2, 3)) if seen[0].ndim > 2 else seen[0]  # (n, d, h, w) before a convolution

    def _replace_head(self) -> None:
        old = self.net.get_submodule(self.head)
        new: nn.Linear | nn.Conv2d
        if isinstance(old, nn.Conv2d):  # SqueezeNet classifies by a convolution, then averages
            new = nn.Conv2d(old.in_channels, self.classes, kernel_size=1)
            self._drop_last_relu()
        else:
            new = nn.Linear(old.in_features, self.classes)  # type: ignore[arg-type]
        nn.init.normal_(new.weight, std=0.01)
        if new.bias is not None:
            nn.init.zeros_(new.bias)
        self.net.set_submodule(self.head, new)

    def _drop_last_relu(self) -> None:
        """Let a convolutional head's logits fall below zero.

        SqueezeNet rectifies them. A thousand classes survive that; of two, one soon has no gradient left and stays at
        zero for every patch (seen with 200 labels: an AUC of .5 where .9 is usual).
        """
        parent, _, index = self.head.rpartition(".")
        layers = self.net.get_submodule(parent)
        after = str(int(index) + 1)
        if isinstance(layers.get_submodule(after), nn.ReLU):
            layers.set_submodule(after, nn.Identity())


def build(arch: str, classes: int, weights: Path | Literal["imagenet"] | None, seed: int) -> Classifier:
    """Build a network whose head is new, and whose trunk is pretrained or (``weights=None``) random.

    ``weights`` is a state_dict of the same network with any head, or ``"imagenet"`` for torchvision's own. ``seed``
    fixes the head and, without weights, the trunk. Raises ValueError on an unknown network or on weights of another
    one, FileNotFoundError, and WeightsUnavailable where a download fails.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(arch, classes)
    if weights is not None:
        state = imagenet(arch) if weights == "imagenet" else read(weights)
        head = frozenset({f"{model.head}.weight", f"{model.head}.bias"})
        trunk = {name: value for name, value in state.items() if name not in head and not name.startswith(AUXILIARY)}
        _fill(model.net, trunk, f"the weights {weights} do not fit {arch}", but=head)
    model.at_random = weights is None
    return model.eval()


def _fill(
    net: nn.Module, state: Mapping[str, torch.Tensor], complaint: str, *, but: frozenset[str] = frozenset()
) -> None:
    """Put a state_dict, which may lack ``but``, into a network.

    Raises ValueError where names or shapes differ: ``complaint`` and the first of them, in one line. torch would take a
    line for each.
    """
    own = net.state_dict()
    shapes = [(name, tuple(state[name].shape), tuple(own[name].shape)) for name in own if name in state]
    others = [f"{name} is {theirs} rather than {ours}" for name, theirs, ours in shapes if theirs != ours]
    if others:
        raise ValueError(f"{complaint}: {others[0]}{_more(others, 1)}")
    try:
        result = net.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(f"{complaint}: {' '.join(str(error).split())}") from error
    missing, unexpected = sorted(set(result.missing_keys) - but), result.unexpected_keys
    if missing or unexpected:
        raise ValueError(
            f"{complaint}: missing {missing[:3]}{_more(missing, 3)}, unexpected {unexpected[:3]}{_more(unexpected, 3)}"
        )


def _more(names: list[str], shown: int) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""


class _Counting(TorchFunctionMode):
    """Keep in memory what is counted or said number by number, where all other tensors have shapes alone.

    RegNet computes with such tensors how many layers it has and how wide they are, and reads the results.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        return func(*args, **({"device": "cpu", **given} if func in {torch.arange, torch.tensor} else given))


def check_input(arch: str, classes: int, input_px: int) -> None:
    """Refuse what `Classifier` refuses, and patches of a side, in pixels, that the network can't take.

    Some pool until nothing of a small patch is left, others take one size alone. Neither memory nor arithmetic is
    spent: only shapes pass through. Raises ValueError, which names the network and the side.
    """
    with torch.device("meta"), _Counting():
        shapes = Classifier(arch, classes).eval().to("meta")  # what was counted too: Swin keeps it in a buffer
    with torch.device("meta"):
        try:
            shapes(torch.empty(2, 3, input_px, input_px))
        except (RuntimeError, AssertionError, ValueError) as error:  # each network has its own way of refusing
            raise ValueError(f"{arch} can't take patches of {input_px} x {input_px} px (input_px): {error}") from error


def parameters_by_role(model: Classifier) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Return the parameters of the trunk and those of the head, each by name."""
    prefix = f"net.{model.head}."
    named = dict(model.named_parameters())
    head = {name: value for name, value in named.items() if name.startswith(prefix)}
    return {name: value for name, value in named.items() if name not in head}, head


def to_bytes(model: Classifier, application: Application | None = None, *, temperature: float = 1.0) -> bytes:
    """Serialise a network: what it is called, its classes, weights, application, and whether it began at random.

    The ``temperature`` is what its logits are divided by where it serves; the weights are those to go on from.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    kept = {"arch": model.arch, "classes": model.classes, "state_dict": state}
    if application is not None:
        kept["application"] = application.to_json()
    if model.at_random:
        kept["at_random"] = True
    if temperature != 1:
        kept["temperature"] = float(temperature)
    buffer = io.BytesIO()
    torch.save(kept, buffer)
    return buffer.getvalue()


def from_bytes(content: bytes, source: str | Path | None = None) -> Classifier:
    """Restore what `to_bytes` wrote, in eval mode, without running any code that the bytes may carry.

    Raises ValueError, which names their ``source`` where it is given, where they hold something else.
    """
    what = _named(content, source)
    match unpack(content, what, WANTED):
        case {"arch": str(arch), "classes": int(classes), "state_dict": dict(state), **more} if is_state_dict(state):
            # Before it is built: a number that no layer bears out may ask for more memory than there is.
            if classes > max([2, *(len(value) for value in state.values() if value.ndim)]):
                raise ValueError(f"{what} has no layer of {classes} classes: needed is {WANTED}")
            try:
                model = Classifier(arch, classes)
            except ValueError as error:
                raise ValueError(f"{what}: {error}") from error
            model.at_random = more.get("at_random") is True
        case _:
            raise ValueError(f"{what} lacks its arch, classes or state_dict: needed is {WANTED}")
    _fill(model, state, f"{what} does not hold the weights of {arch}")
    return model.eval()


def application_of(content: bytes, source: str | Path | None = None) -> Application | None:
    """Return the application that a network of `to_bytes` learnt; None where the bytes don't say, as older ones don't.

    Raises ValueError, which names their ``source`` where it is given, where they hold no network, or no application
    that this version knows.
    """
    what = _named(content, source)
    match unpack(content, what, WANTED):
        case {"application": str(document)}:
            try:
                return Application.from_json(document)
            except ValueError as error:
                raise ValueError(f"{what}: {error}") from error
    return None


def temperature_of(content: bytes, source: str | Path | None = None) -> float:
    """Return the temperature at which a network of `to_bytes` serves; errors as `from_bytes`."""
    what = _named(content, source)
    match unpack(content, what, WANTED):
        case {"temperature": float(temperature)} if temperature > 0 and math.isfinite(temperature):
            return temperature
        case {"temperature": found}:
            raise ValueError(f"{what} has the temperature {found!r}, where a number above 0 is needed")
    return 1.0


def _named(content: bytes, source: str | Path | None) -> str:
    return f"a classifier of {len(content)} bytes" if source is None else str(source)


def _last_layer(arch: str, net: nn.Module) -> str:
    """Find the dotted name of the last linear or convolutional layer under one of `HEADS`."""
    found = [
        name
        for name, layer in net.named_modules()
        if name.partition(".")[0] in HEADS and isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    if not found:
        raise ValueError(f"{arch}: no last layer under {', '.join(HEADS)}")
    last: str = found[-1]
    return last
