"""``duetto separate``: the same pipeline as the service's, here and now, without a server."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from app.commands.method import method
from app.console import ProgressDisplay, print_summary
from app.instruments import INSTRUMENT_NAMES
from app.methods import AUTO, LABEL_RULES, Kind
from app.plugins import names
from app.stem_formats import BITS, STEM_FORMATS
from worker.errors import JobFailure

HELP = "Separate one video on this machine, without a server: writes both stems and result.json."
# What the user reads; the reasons behind them are chained for a debugger.
ERRORS = (JobFailure,)


class Failed(JobFailure):
    """A failure of the models or the disk, in the words that a job's error has."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("video", type=Path, metavar="VIDEO", help="the duet: mp4, mov, webm, mkv or avi")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder for the stems (default: NAME-stems)")
    parser.add_argument("--left", choices=INSTRUMENT_NAMES, metavar="NAME", help="who plays on the left, if you know")
    parser.add_argument("--right", choices=INSTRUMENT_NAMES, metavar="NAME", help="who plays on the right")
    parser.add_argument(
        "--separator", type=method(Kind.SEPARATOR), default="auto", metavar="NAME",
        help=f"how to split the sound: {', '.join(names(Kind.SEPARATOR))} (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--tagger", type=method(Kind.TAGGER), default="auto", metavar="NAME",
        help=f"what looks at the picture: {', '.join(names(Kind.TAGGER))} (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--labels", choices=LABEL_RULES, default=AUTO,
        help="how it is found who plays: fused, by picture and sound; report, by halves of the frame (default: auto)",
    )  # fmt: skip
    parser.add_argument("--format", choices=STEM_FORMATS, default="wav", help="what the stems are (default: wav)")
    parser.add_argument(
        "--bits",
        type=int,
        metavar="N",
        help="bits a sample: wav 16, 24 or 32 (float, default), flac 16 or 24 (default)",
    )
    parser.add_argument("--pictures", action="store_true", help="draw what was seen and heard, into DIR/pictures")


def run(args: argparse.Namespace) -> int:
    """Separate `args.video`; returns 0.

    Raises
    ------
    JobFailure
        Whatever is wrong with the recording.
    """
    if not args.video.is_file():
        raise Failed(f"there is no file {args.video}; give the path of a video")
    choices = BITS[args.format]
    if args.bits is not None and args.bits not in choices:
        raise Failed(
            f"{args.format} has no {args.bits} bits a sample; "
            + (f"--bits is one of {', '.join(map(str, choices))}" if choices else "leave --bits out")
        )
    # torch and the media libraries cost a second; a typing mistake should not.
    from app.errors import ConfigurationError  # noqa: PLC0415
    from app.jobs.record import JobOptions  # noqa: PLC0415
    from app.settings import get_settings  # noqa: PLC0415
    from app.stem_names import PICTURES, SIDES, artifact_names, picture_name, stem_name  # noqa: PLC0415
    from worker.engines import engines_of  # noqa: PLC0415
    from worker.failures import public_error  # noqa: PLC0415
    from worker.media.limits import MediaLimits  # noqa: PLC0415
    from worker.pipeline import run_pipeline  # noqa: PLC0415
    from worker.source import Source  # noqa: PLC0415
    from worker.verify import check_sum  # noqa: PLC0415

    settings = get_settings()
    limits = MediaLimits.from_settings(settings)
    bits = {} if args.bits is None else {"bits": args.bits}
    options = JobOptions(
        left=args.left,
        right=args.right,
        separator=args.separator,
        tagger=args.tagger,
        labels=args.labels,
        format=args.format,
        **bits,
    )
    output: Path = args.output or Path(f"{args.video.stem}-stems")
    source = Source(video=args.video)
    try:
        output.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that what is renamed into place is whole.
        with tempfile.TemporaryDirectory(dir=output, prefix=".duetto-") as scratch, ProgressDisplay() as display:
            result = run_pipeline(
                source, Path(scratch), options, engines_of(settings), limits,
                report=lambda stage, fraction: display.stage(str(stage), fraction), pictures=args.pictures,
            )  # fmt: skip
            for name in artifact_names(options.format):
                shutil.move(Path(scratch) / name, output / name)
            for picture in result["pictures"]:
                # Where the result says that it is.
                (output / PICTURES).mkdir(exist_ok=True)
                shutil.move(Path(scratch) / picture_name(picture["name"]), output / picture["url"])
        files: dict[str, Path] = {side: output / stem_name(side, options.format) for side in SIDES}
        gain_db = result["sound"]["gain_db"]
        total = None
        if options.format != "mp3":
            total = check_sum(source.sound, files["left"], files["right"], limits, gain_db)
    except (JobFailure, ConfigurationError):
        raise
    except Exception as error:
        raise Failed(public_error(error).message) from error
    print_summary(result, files)
    if total is not None:
        mix = f"mix {gain_db:+.2f} dB" if gain_db else "mix"
        print(f"left + right = {mix} to {total.max_error:.1e} of full scale, over {total.samples} samples")
    return 0
