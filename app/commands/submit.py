"""``duetto submit``: send a video to a server, watch the job, fetch the stems."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import duetto
from app.console import ProgressDisplay, print_summary
from app.methods import LABEL_RULES
from app.stem_formats import STEM_FORMATS

HELP = "Send a duet video to a Duetto server, watch its progress and download the two stems."
ERRORS = (duetto.Error,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("video", type=Path, metavar="VIDEO", help="the duet: mp4, mov, webm, mkv or avi")
    parser.add_argument("--server", default=duetto.DEFAULT_SERVER, metavar="URL", help="default: %(default)s")
    parser.add_argument("--key", metavar="KEY", help="API key, where the server asks for one (default: DUETTO_API_KEY)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where the stems go (default: VIDEO's name, here)"
    )
    parser.add_argument("--left", metavar="NAME", help="the instrument on the left, instead of looking")
    parser.add_argument("--right", metavar="NAME", help="the instrument on the right, instead of looking")
    parser.add_argument("--separator", metavar="NAME", help="how to separate (default: the server's choice)")
    parser.add_argument("--tagger", metavar="NAME", help="which network looks (default: the server's choice)")
    parser.add_argument("--labels", choices=LABEL_RULES, help="how it is found who plays (default: auto)")
    parser.add_argument("--format", choices=STEM_FORMATS, help="what the stems are to be (default: wav)")
    parser.add_argument(
        "--bits",
        type=int,
        metavar="N",
        help="bits a sample: wav 16, 24 or 32 (float, default), flac 16 or 24 (default)",
    )
    parser.add_argument(
        "--pictures", action="store_true", help="fetch drawings of what was seen and heard, too, into DIR/pictures"
    )
    parser.add_argument("--webhook", metavar="URL", help="where the server is to tell that the job has ended")


def run(args: argparse.Namespace) -> int:
    """Submit, wait and download. Ctrl-C cancels the job.

    Raises
    ------
    duetto.Error
        With a message for the user.
    """
    with duetto.Client(args.server, api_key=args.key) as client, ProgressDisplay() as display:
        duet = client.separate(
            args.video,
            args.left,
            args.right,
            output=args.output or Path(args.video.stem),
            on_progress=shown_on(display),
            pictures=args.pictures,
            separator=args.separator,
            tagger=args.tagger,
            labels=args.labels,
            format=args.format,
            bits=args.bits,
            webhook_url=args.webhook,
        )
    print_summary(duet.result, duet.files)
    return 0


def shown_on(display: ProgressDisplay) -> Callable[[duetto.Progress], None]:
    """Return what shows the client's progress on `display`."""

    def show(now: duetto.Progress) -> None:
        display.stage(now.stage, now.fraction, eta_s=now.eta_seconds, queue_position=now.queue_position, note=now.note)

    return show
