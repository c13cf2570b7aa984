"""The device of networks and of guided NMF: the one that was asked for, or a refusal that says what to do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from app.doctor.finding import Level
from app.errors import ConfigurationError
from app.settings import Settings
from models.adaptive import Fit
from models.adaptive import Settings as FitSettings
from models.device import exact_arithmetic, resolve_device
from models.errors import DeviceUnavailable
from models.log_bands import N_BANDS
from models.refiner import N_FEATURES, Refiner
from models.separators import get_separator
from models.taggers import load_tagger
from worker.device import check_device, device_of
from worker.doctor import device as doctor
from worker.engines import Engines
from worker.failures import public_error

HAS_GPU = torch.cuda.is_available()
without_gpu = pytest.mark.skipif(HAS_GPU, reason="this machine has a GPU")
with_gpu = pytest.mark.skipif(not HAS_GPU, reason="this machine has no GPU")


def pictures(size: int, number: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (number, size, size, 3), np.uint8)


@without_gpu
def test_auto_without_a_gpu_is_the_cpu_to_the_byte() -> None:
    cpu, auto = (load_tagger("efficientnet-lite2", device=device) for device in ("cpu", "auto"))
    batch = pictures(260)
    assert cpu.probabilities(batch).tobytes() == auto.probabilities(batch).tobytes()
    assert cpu.provenance == auto.provenance
    assert auto.provenance["device"] == "cpu"


@without_gpu
def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(DeviceUnavailable, match="PyTorch"):
        load_tagger("efficientnet-lite2", device="cuda")


def test_a_device_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="no device is called 'tpu'; there are auto, cpu, cuda"):
        resolve_device("tpu")


@with_gpu
def test_a_gpu_says_what_the_cpu_says() -> None:
    cpu, gpu = (load_tagger("efficientnet-lite2", device=device) for device in ("cpu", "cuda"))
    batch = pictures(260, 16)
    first = gpu.probabilities(batch)
    np.testing.assert_allclose(first, cpu.probabilities(batch), atol=1e-5)
    assert first.tobytes() == gpu.probabilities(batch).tobytes()
    assert gpu.provenance["device"] == "cuda"
    assert gpu.provenance["gpu"]


@without_gpu
def test_a_separator_refuses_a_gpu_that_is_not_there() -> None:
    for name in ("nmf", "learned"):
        with pytest.raises(DeviceUnavailable, match="PyTorch"):
            get_separator(name, device="cuda")
    assert get_separator("auto", device="auto").provenance["device"] == "cpu"


def test_every_step_stays_on_the_device() -> None:
    """Without a GPU, too: tensors of PyTorch's device "meta" have no values, but refuse to meet any of the CPU's."""
    meta = torch.device("meta")
    V = np.random.default_rng(5).random((2049, 48), np.float32)
    fit = Fit(V, V[:, :9], V[:, 9:20], FitSettings(), device=meta)
    fit._activate(1)  # not _prune(), where shapes follow from values
    fit._equalise()
    fit._adapt()
    assert {tensor.device for tensor in (fit._V, fit._W, fit._H, fit._rows)} == {meta}
    features = torch.zeros((2, N_FEATURES, N_BANDS, 48), device=meta)
    out = Refiner().eval().to(meta)(features, torch.zeros((2, 2), dtype=torch.int64, device=meta))
    assert (out.device, out.shape) == (meta, (2, 2, N_BANDS, 48))


@with_gpu
@pytest.mark.parametrize("name", ["nmf", "learned"])
def test_a_gpu_separates_as_the_cpu_does(name: str) -> None:
    rng = np.random.default_rng(11)
    V = np.abs(rng.standard_normal((2049, 43))).astype(np.float32)
    cpu, gpu = (get_separator(name, device=device) for device in ("cpu", "cuda"))
    first = gpu.mask(V, "violin", "trumpet")
    np.testing.assert_allclose(first, cpu.mask(V, "violin", "trumpet"), atol=1e-3)
    assert first.tobytes() == gpu.mask(V, "violin", "trumpet").tobytes()
    assert gpu.provenance["device"] == "cuda"


def test_exact_arithmetic_leaves_the_process_as_it_was() -> None:
    flags = torch.backends.cudnn
    before = (flags.allow_tf32, flags.deterministic, flags.benchmark)
    with exact_arithmetic(torch.device("cuda")):
        assert (flags.allow_tf32, flags.deterministic, flags.benchmark) == (False, True, False)
    assert (flags.allow_tf32, flags.deterministic, flags.benchmark) == before


class TestWorker:
    @without_gpu
    def test_cuda_without_a_gpu(self, settings: Settings) -> None:
        wanted = settings.model_copy(update={"device": "cuda"})
        for refuse in (Engines, check_device, device_of):
            with pytest.raises(ConfigurationError) as caught:
                refuse(wanted)
            assert "DUETTO_DEVICE is cuda, and there is none: " in caught.value.detail
            assert "set DUETTO_DEVICE to cpu, or to auto" in caught.value.detail
        # Should it come to that, a job is told no more than it must know.
        error = public_error(caught.value)
        assert (error.code, error.retryable) == ("model_unavailable", True)
        assert "DUETTO" not in error.message
        (finding,) = doctor.check_device(wanted)
        assert finding.level is Level.PROBLEM
        assert "DUETTO_DEVICE is cuda" in finding.text

    @pytest.mark.parametrize("device", ["cpu", "auto"])
    def test_what_is_always_there(self, settings: Settings, device: str) -> None:
        wanted = settings.model_copy(update={"device": device, "tagger": "efficientnet-lite2"})
        check_device(wanted)
        (finding,) = doctor.check_device(wanted)
        assert finding.level is Level.OK
        assert Engines(wanted).tagger("auto").provenance["device"] in finding.text

    def test_the_parent_asks_without_torch(self) -> None:
        program = (
            "import sys\n"
            "from app.errors import ConfigurationError\n"
            "from app.settings import Settings\n"
            "from worker.device import check_device\n"
            "try:\n"
            "    check_device(Settings(device='cuda'))\n"
            "except ConfigurationError as error:\n"
            "    print(error.detail)\n"
            "print('torch' in sys.modules)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        *told, has_torch = done.stdout.splitlines()
        assert has_torch == "False"
        assert bool(told) != HAS_GPU
