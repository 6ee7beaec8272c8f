from pathlib import Path

import pytest
import torch
from torch import nn

from depth.toys import learning
from overread_learn.nets import Classifier, build, parameters_by_role
from overread_learn.nets.blocks import Part, blocks, freeze, join, span, split

# Head to stem: each block and the features that enter it from patches of 64 px (Inception needs 75 or more: 96).
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "alexnet": {
        "fc8": (4096,),
        "fc7": (4096,),
        "fc6": (256, 1, 1),
        "conv5": (256, 3, 3),
        "conv4": (384, 3, 3),
        "conv3": (192, 3, 3),
        "conv2": (64, 7, 7),
        "conv1": (3, 64, 64),
    },
    "vgg11_bn": {
        "head": (4096,),
        "hidden": (512, 2, 2),
        "stage5": (512, 4, 4),
        "stage4": (256, 8, 8),
        "stage3": (128, 16, 16),
        "stage2": (64, 32, 32),
        "stem": (3, 64, 64),
    },
    "resnet18": {
        "head": (512,),
        "layer4": (256, 4, 4),
        "layer3": (128, 8, 8),
        "layer2": (64, 16, 16),
        "layer1": (64, 16, 16),
        "stem": (3, 64, 64),
    },
    "densenet121": {
        "head": (1024,),
        "dense4": (512, 2, 2),
        "dense3": (256, 4, 4),
        "dense2": (128, 8, 8),
        "dense1": (64, 16, 16),
        "stem": (3, 64, 64),
    },
    "mobilenet_v2": {
        "head": (1280,),
        "stage5": (96, 4, 4),
        "stage4": (32, 8, 8),
        "stage3": (24, 16, 16),
        "stage2": (16, 32, 32),
        "stem": (3, 64, 64),
    },
    "mobilenet_v3_small": {
        "head": (1024,),
        "hidden": (576,),
        "stage5": (48, 4, 4),
        "stage4": (24, 8, 8),
        "stage3": (16, 16, 16),
        "stage2": (16, 32, 32),
        "stem": (3, 64, 64),
    },
    "efficientnet_b0": {
        "head": (1280,),
        "stage5": (112, 4, 4),
        "stage4": (40, 8, 8),
        "stage3": (24, 16, 16),
        "stage2": (16, 32, 32),
        "stem": (3, 64, 64),
    },
    "convnext_tiny": {
        "head": (768,),
        "stage4": (384, 4, 4),
        "stage3": (192, 8, 8),
        "stage2": (96, 16, 16),
        "stem": (3, 64, 64),
    },
    "squeezenet1_1": {
        "head": (512, 3, 3),
        "stage4": (256, 3, 3),
        "stage3": (128, 7, 7),
        "stage2": (64, 15, 15),
        "stem": (3, 64, 64),
    },
    "inception_v3": {
        "head": (2048,),
        "mixed7": (768, 4, 4),
        "mixed6": (288, 9, 9),
        "mixed5": (192, 9, 9),
        "stem": (3, 96, 96),
    },
}


@pytest.fixture(scope="module", params=SHAPES)
def network(request: pytest.FixtureRequest) -> Classifier:
    return build(request.param, 3, None, seed=0)


def patches(network: Classifier) -> torch.Tensor:
    shape = list(SHAPES[network.arch].values())[-1]
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))


def test_each_parameter_belongs_to_one_block_and_the_first_is_the_head(network: Classifier) -> None:
    found = blocks(network)
    owned = [id(value) for block in found for value in block.parameters(network.net)]
    assert sorted(owned) == sorted(id(value) for value in network.parameters())
    head = parameters_by_role(network)[1].values()
    assert {id(value) for value in found[0].parameters(network.net)} == {id(value) for value in head}


def test_freezing(network: Classifier) -> None:
    found = blocks(network)
    assert [block.name for block in found] == list(SHAPES[network.arch])
    before: set[str] = set()
    for depth, block in enumerate(found, 1):
        freeze(network, depth)
        now = learning(network)
        assert before < now
        assert len(now) - len(before) == len(block.parameters(network.net))
        before = now
        network.train()
        for number, other in enumerate(found, 1):
            layers = [network.net.get_submodule(step) for step in other.steps if isinstance(step, str)]
            modes = {module.training for layer in layers for module in layer.modules()}
            # Dropout and stochastic depth too: frozen features must not be drawn by lot.
            assert modes <= {number <= depth}
    network.eval()
    assert before == set(dict(network.named_parameters()))
    freeze(network, 1)
    assert learning(network) == set(parameters_by_role(network)[1])


def test_trunk_and_rest_are_the_whole(network: Classifier) -> None:
    whole = network(patches(network))
    assert whole.shape == (2, 3)
    for depth, shape in enumerate(SHAPES[network.arch].values(), 1):
        trunk, rest = split(network, depth)
        features = trunk(patches(network))
        assert features.shape == (2, *shape)
        kept = features.clone()
        assert torch.equal(rest(features), whole)
        assert torch.equal(features, kept)  # what is cached must not be changed by its use
        # Every name, those of running statistics too, is in one of the two, and is the network's own.
        assert {*trunk.state_dict()} | {*rest.state_dict()} == {*network.state_dict()}
        assert not {*trunk.state_dict()} & {*rest.state_dict()}
        assert learning(rest) == set(dict(rest.named_parameters()))
        assert not learning(trunk)
        assert parameters_by_role(rest)[1].keys() == parameters_by_role(network)[1].keys()


@pytest.mark.parametrize(
    "arch",
    [
        "convnext_base",
        "densenet201",
        "efficientnet_b7",
        "efficientnet_v2_s",
        "mobilenet_v3_large",
        "resnext50_32x4d",
        "squeezenet1_0",
        "vgg19",
        "wide_resnet50_2",
    ],
)
def test_other_members_of_the_families(arch: str) -> None:
    with torch.device("meta"):  # shapes without numbers
        model = Classifier(arch, 2)
    owned = [id(value) for block in blocks(model) for value in block.parameters(model.net)]
    assert sorted(owned) == sorted(id(value) for value in model.parameters())
    trunk, rest = split(model.eval(), 2)
    assert rest(trunk(torch.empty(1, 3, 64, 64, device="meta"))).shape == (1, 2)


def test_alexnet_goes_layer_by_layer() -> None:
    with torch.device("meta"):
        model = Classifier("alexnet", 2)
    spans = [span(model, depth) for depth in range(1, 9)]
    assert spans == ["fc8", *(f"{name}-fc8" for name in ("fc7", "fc6", "conv5", "conv4", "conv3", "conv2", "conv1"))]


def test_what_has_no_list_and_what_has_no_such_depth() -> None:
    model = Classifier("shufflenet_v2_x0_5", 2)
    with pytest.raises(ValueError, match=r"shufflenet_v2_x0_5 has no list of blocks; these families .*ResNet"):
        blocks(model)
    model = Classifier("squeezenet1_1", 2)
    for depth in (-1, 0, 6):
        for ask in (freeze, split, span):
            with pytest.raises(ValueError, match=rf"squeezenet1_1 has depths 1 .* to 5 .* got {depth}"):
                ask(model, depth)


def test_the_trunk_stands_still_while_the_network_learns() -> None:
    model = build("resnet18", 2, None, seed=0).train()
    trunk, rest = split(model, 2)
    still = {name: value.clone() for name, value in trunk.state_dict().items()}
    inputs = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    rest(trunk(inputs)).sum().backward()
    assert all(value.grad is None for value in trunk.parameters())
    assert all(value.grad is not None for value in rest.parameters())
    assert all(torch.equal(value, still[name]) for name, value in trunk.state_dict().items())
    assert not any(layer.training for layer in trunk.net.modules() if isinstance(layer, nn.BatchNorm2d))
    assert rest.net.get_submodule("layer4.0.bn1").training


def test_joining_takes_the_rest_and_keeps_the_trunk() -> None:
    model, other = (build("resnet18", 2, None, seed=seed) for seed in (1, 2))
    rest: Part = split(other, 3)[1]
    joined = join(model, rest)
    state, ours, theirs = joined.state_dict(), model.state_dict(), other.state_dict()
    assert all(
        torch.equal(value, (theirs if name in rest.state_dict() else ours)[name]) for name, value in state.items()
    )
    assert not torch.equal(ours["net.fc.weight"], state["net.fc.weight"])
    assert learning(joined) == learning(model)


def test_inception_has_no_auxiliary_head_and_takes_published_weights(tmp_path: Path) -> None:
    model = build("inception_v3", 2, None, seed=1)
    assert not any("AuxLogits" in name for name, _ in model.named_parameters())
    published = model.net.state_dict() | {"AuxLogits.fc.weight": torch.zeros(1000, 768)}
    torch.save(published, tmp_path / "weights.pth")
    loaded = build("inception_v3", 2, tmp_path / "weights.pth", seed=2)
    trunk = parameters_by_role(model)[0]
    assert all(torch.equal(value, trunk[name]) for name, value in parameters_by_role(loaded)[0].items())
    assert loaded.train()(torch.randn(2, 3, 96, 96)).shape == (2, 2)  # logits, not a tuple


@pytest.mark.parametrize("arch", ["squeezenet1_1", "mobilenet_v2"])
def test_published_weights_are_cut_without_loss(shared: Path, arch: str) -> None:
    model = build(arch, 2, shared / "weights" / f"{arch}.pth", seed=0)
    inputs = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    whole = model(inputs)
    assert whole.abs().max() > 0
    for depth in range(1, len(blocks(model)) + 1):
        trunk, rest = split(model, depth)
        assert torch.equal(rest(trunk(inputs)), whole)
