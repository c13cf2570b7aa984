"""The picture networks: preprocessing, weights from every place they may come from, and what is said without them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from models.download import fetch
from models.errors import InvalidBases, InvalidPicture, WeightsUnavailable
from models.instruments import IMAGENET_IDS
from models.taggers import NAMES, REGISTRY, load_tagger
from models.taggers.densenet161 import build, convert

CONTENT = b"weights" * 100_000


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Tests print enough."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server with one file, weights.bin."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(CONTENT)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture(scope="module")
def densenet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random DenseNet-161 weights under the names that the published file has."""
    torch.manual_seed(0)
    state = {
        name.replace("norm1.", "norm.1.")
        .replace("norm2.", "norm.2.")
        .replace("conv1.", "conv.1.")
        .replace("conv2.", "conv.2.")
        if "denselayer" in name
        else name: tensor
        for name, tensor in build().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    path = tmp_path_factory.mktemp("weights") / "densenet161-8d451a50.pth"
    torch.save(state, path)
    return path


def test_the_registry_says_everything_about_a_network() -> None:
    assert NAMES == ("densenet161", "efficientnet-lite2")
    for entry in REGISTRY.values():
        assert entry.class_ids == IMAGENET_IDS
        assert entry.licence
        assert entry.source
        assert entry.sha256_prefix in entry.weights_file
        assert entry.packaged_weights or entry.weights_url
    assert REGISTRY["densenet161"].input_size == 224
    assert REGISTRY["efficientnet-lite2"].input_size == 260


def test_efficientnet_works_offline() -> None:
    tagger = load_tagger("efficientnet-lite2", offline=True)
    pictures = np.stack([tagger.prepare(np.full((90, 160, 3), value, np.uint8)) for value in (0, 128, 255)])
    assert pictures.shape == (3, 260, 260, 3)
    probabilities = tagger.probabilities(pictures)
    assert probabilities.shape == (3, 8)
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    assert (probabilities.sum(axis=1) <= 1).all()
    # One picture alone gives what it gives in company.
    np.testing.assert_allclose(tagger.probabilities(pictures[1:2]), probabilities[1:2], atol=1e-5)
    assert tagger.provenance["licence"] == "Apache-2.0"
    assert tagger.provenance["weights_sha256"].startswith("9656183e")


@pytest.mark.parametrize(("name", "size"), [("densenet161", (96, 128)), ("efficientnet-lite2", (132, 164))])
def test_a_folded_network_says_what_it_said_before(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    entry = REGISTRY[name]
    network = entry.build().eval()
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        # As if trained: otherwise there is nothing to fold.
        for tensor, low, high in ((norm.running_mean, -0.1, 0.1), (norm.running_var, 0.5, 2.0), (norm.bias, -0.1, 0.1)):
            assert tensor is not None
            torch.nn.init.uniform_(tensor, low, high)
    pixels = torch.randn(2, 3, *size)
    with torch.inference_mode():
        scores, maps = network(pixels), entry.class_maps(network, pixels)
        entry.fold(network)
        torch.testing.assert_close(network(pixels), scores, rtol=1e-4, atol=1e-4 * float(scores.abs().max()))
        torch.testing.assert_close(
            entry.class_maps(network, pixels), maps, rtol=1e-4, atol=1e-4 * float(maps.abs().max())
        )
    left = sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert left <= len(norms) / 2 + 2


def test_no_pictures_no_probabilities() -> None:
    tagger = load_tagger("efficientnet-lite2")
    assert tagger.probabilities(np.zeros((0, 260, 260, 3), np.uint8)).shape == (0, 8)


@pytest.mark.parametrize(
    "picture", [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 4), np.uint8), np.zeros((10, 10, 3), np.float32),
                np.zeros((0, 10, 3), np.uint8)]
)  # fmt: skip
def test_what_is_no_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(InvalidPicture, match="uint8"):
        load_tagger("efficientnet-lite2").prepare(picture)


def test_auto_takes_densenet_when_its_weights_are_at_hand(densenet_file: Path) -> None:
    named = load_tagger("auto", weights={"densenet161": densenet_file}, offline=True)
    assert named.name == "densenet161"
    cached = load_tagger("auto", cache_dir=densenet_file.parent.parent, offline=True)
    assert cached.name == "efficientnet-lite2"
    folder = densenet_file.parent / "weights"
    folder.mkdir()
    (folder / densenet_file.name).write_bytes(densenet_file.read_bytes())
    cached = load_tagger("auto", cache_dir=densenet_file.parent, offline=True)
    assert cached.name == "densenet161"
    probabilities = cached.probabilities(np.stack([cached.prepare(np.zeros((50, 50, 3), np.uint8))]))
    assert probabilities.shape == (1, 8)


def test_offline_without_weights_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="downloads are off"):
        load_tagger("densenet161", cache_dir=tmp_path, offline=True)


def test_damaged_and_foreign_weights(tmp_path: Path, densenet_file: Path) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes(densenet_file.read_bytes()[:1_000_000])
    for path in (broken, Path(str(REGISTRY["efficientnet-lite2"].packaged_weights and efficientnet_path()))):
        with pytest.raises(InvalidBases, match="does not hold the weights of densenet161"):
            load_tagger("densenet161", weights={"densenet161": path})
    with pytest.raises(WeightsUnavailable, match="cannot be read"):
        load_tagger("auto", weights={"densenet161": tmp_path / "absent.pth"})
    with pytest.raises(ValueError, match="no tagger is called 'vgg'"):
        load_tagger("vgg")


def efficientnet_path() -> str:
    packaged = REGISTRY["efficientnet-lite2"].packaged_weights
    assert packaged is not None
    return packaged()


def test_the_published_names_are_the_networks(densenet_file: Path) -> None:
    state = convert(torch.load(densenet_file, weights_only=True))
    missing = set(build().state_dict()) - set(state)
    assert all(name.endswith("num_batches_tracked") for name in missing)


def test_a_download_is_whole_checked_and_shown(server: str, tmp_path: Path) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    target = tmp_path / "cache" / "weights.bin"
    seen: list[tuple[int, int | None]] = []
    fetch(
        f"{server}/weights.bin",
        target,
        sha256_prefix=digest[:8],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    fetch("http://127.0.0.1:9/never-asked", target, sha256_prefix=digest[:8])


@pytest.mark.parametrize(
    ("path", "prefix", "message"),
    [("weights.bin", "00000000", "SHA-256"), ("absent.bin", "00", "could not be downloaded")],
)
def test_a_bad_download_leaves_nothing(server: str, tmp_path: Path, path: str, prefix: str, message: str) -> None:
    target = tmp_path / "cache" / "weights.bin"
    with pytest.raises(WeightsUnavailable, match=message):
        fetch(f"{server}/{path}", target, sha256_prefix=prefix)
    assert not target.exists()
    assert [name.suffix for name in target.parent.iterdir()] == [".lock"]


def test_no_server_is_said_not_hung(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="ConnectError"):
        fetch("http://127.0.0.1:9/weights.bin", tmp_path / "weights.bin", sha256_prefix="00")


def test_torchvision_imports_beside_this_torch() -> None:
    code = "from models.taggers.torchvision_compat import ensure_importable as e; e(); e(); import torchvision.models"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_mean_over_places_is_the_opinion_of_the_whole(densenet_file: Path) -> None:
    rng = np.random.default_rng(0)
    for tagger in (
        load_tagger("efficientnet-lite2", offline=True),
        load_tagger("densenet161", weights={"densenet161": densenet_file}),
    ):
        pictures = np.stack([tagger.prepare(rng.integers(0, 255, (90, 160, 3)).astype(np.uint8)) for _ in range(2)])
        # (2, rows, columns, 1000) -> (2, 1000)
        scores = tagger.class_maps(pictures).mean(axis=(1, 2), dtype=np.float64)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(shares[:, list(IMAGENET_IDS)], tagger.probabilities(pictures), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("height", "width", "scene", "part"),
    [(360, 640, (260, 452), (356, 644)), (640, 360, (452, 260), (644, 356)), (100, 100, (260, 260), (132, 132)),
     (90, 9000, (260, 772), (132, 772))],
)  # fmt: skip
def test_scenes_keep_their_proportions(height: int, width: int, scene: tuple[int, int], part: tuple[int, int]) -> None:
    tagger = load_tagger("efficientnet-lite2", offline=True)
    picture = np.zeros((height, width, 3), np.uint8)
    assert tagger.scene(picture).shape == (*scene, 3)
    assert tagger.part(picture).shape == (*part, 3)
    with pytest.raises(InvalidPicture):
        tagger.scene(picture[0])
    with pytest.raises(InvalidPicture):
        tagger.part(picture.astype(np.float32))
