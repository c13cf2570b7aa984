"""``duetto demo``: everything at once. Starts the service, posts the example duet, measures its stems."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import duetto
from app.commands.submit import shown_on
from app.console import ProgressDisplay, console, print_summary
from app.settings import get_settings
from app.stack import running_stack
from app.stem_names import artifact_names
from worker.example_duet import Example, example_duet

HELP = "Start everything, separate the example duet, print labels and quality, say where the stems are."
ERRORS = (duetto.Error,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", default=Path("duetto-demo"), help="folder for the stems"
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the service running afterwards, until Ctrl-C, to try the page"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demonstration; returns 0 if it ended in two stems."""
    out = console()
    example = example_duet()
    output: Path = args.output
    output.mkdir(parents=True, exist_ok=True)
    out.print("Starting broker, worker and API on this machine ...")
    with tempfile.TemporaryDirectory(prefix="duetto-demo-") as data:
        # A folder and a port of its own: the demonstration meddles with no service that runs here already.
        settings = get_settings().model_copy(update={"data_dir": Path(data), "redis_url": None, "port": 0})
        with running_stack(settings) as stack, duetto.Client(stack.url) as client:
            out.print(f"The service is up at {stack.url}/ - posting {example.video.name} ...")
            with ProgressDisplay() as display:
                duet = client.separate(example.video, output=output, on_progress=shown_on(display), pictures=True)
            print_summary(duet.result, duet.files)
            _print_quality(example, duet)
            print(f"\nStems and result:  {output.resolve()}/{{{','.join(artifact_names('wav'))}}}")
            drawn = ",".join(picture.path.name for picture in duet.pictures)
            print(f"Seen and heard:    {output.resolve()}/pictures/{{{drawn}}}")
            if args.keep:
                print(f"The page:          {stack.url}/   (Ctrl-C stops it)", flush=True)
                _wait_for_interrupt()
            else:
                print("The page:          run `make serve` (or `duetto serve`), then open http://127.0.0.1:8000/")
    return 0


def _print_quality(example: Example, duet: duetto.Separation) -> None:
    """Print SDR against the true stems, and what the mix itself would score: the gain is what was done."""
    import numpy as np  # noqa: PLC0415 - these two cost a second; the service starts meanwhile
    import soundfile  # noqa: PLC0415
    from numpy.typing import NDArray  # noqa: PLC0415

    from models.metrics import bss_eval  # noqa: PLC0415

    def mono(path: Path) -> NDArray[np.float32]:
        samples: NDArray[np.float32] = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
        return samples

    stems = np.stack([stem.read()[0].mean(axis=0) for stem in (duet.left, duet.right)])
    true = np.stack([mono(path) for path in (example.left, example.right)])
    # AAC pads the end of a recording to whole packets.
    length = min(stems.shape[1], true.shape[1])
    stems, true = stems[:, :length], true[:, :length]
    measured = bss_eval(true, stems).sdr
    mix = stems.sum(axis=0)
    untouched = bss_eval(true, np.stack([mix, mix])).sdr
    for k, side in enumerate(("left", "right")):
        print(f"SDR {side:>5}: {measured[k]:6.2f} dB   (the unseparated mix: {untouched[k]:.2f} dB)")


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600.0)
    except KeyboardInterrupt:
        print("Stopping.")
