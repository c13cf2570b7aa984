"""``duetto submit``: send a video to a server, watch the job, fetch the stems."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path

from app.client import DEFAULT_URL, KEY_VARIABLE, ClientError, DuettoClient, RemoteJob, UnusableFile
from app.console import ProgressDisplay, print_summary
from app.stem_formats import STEM_FORMATS
from app.stem_names import SIDES

HELP = "Send a duet video to a Duetto server, watch its progress and download the two stems."
ERRORS = (ClientError,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("video", type=Path, metavar="VIDEO", help="the duet: mp4, mov, webm, mkv or avi")
    parser.add_argument("--server", default=DEFAULT_URL, metavar="URL", help="default: %(default)s")
    parser.add_argument(
        "--key", metavar="KEY", help=f"API key, where the server asks for one (default: {KEY_VARIABLE})"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where the stems go (default: VIDEO's name, here)"
    )
    parser.add_argument("--left", metavar="NAME", help="the instrument on the left, instead of looking")
    parser.add_argument("--right", metavar="NAME", help="the instrument on the right, instead of looking")
    parser.add_argument("--separator", metavar="NAME", help="how to separate (default: the server's choice)")
    parser.add_argument("--tagger", metavar="NAME", help="which network looks (default: the server's choice)")
    parser.add_argument("--format", choices=STEM_FORMATS, help="what the stems are to be (default: wav)")
    parser.add_argument(
        "--bits",
        type=int,
        metavar="N",
        help="bits a sample: wav 16, 24 or 32 (float, default), flac 16 or 24 (default)",
    )


def run(args: argparse.Namespace) -> int:
    """Submit, wait and download. Ctrl-C cancels the job.

    Raises
    ------
    ClientError
        With a message for the user.
    """
    output: Path = args.output or Path(args.video.stem)
    if output.exists() and not output.is_dir():
        raise UnusableFile(f"{output} is a file; choose a folder for the stems with -o")
    with DuettoClient(args.server, api_key=args.key) as client:
        with ProgressDisplay() as display:
            job = client.submit(
                args.video,
                left=args.left,
                right=args.right,
                separator=args.separator,
                tagger=args.tagger,
                stem_format=args.format,
                bits=args.bits,
                on_upload=display.upload,
            )
            try:
                job = follow(client, job, display)
            except KeyboardInterrupt:
                with suppress(ClientError):
                    client.cancel(job.id)
                raise
        files = fetch(client, job, output)
        print_summary(client.result(job.id), files)
    return 0


def follow(client: DuettoClient, job: RemoteJob, display: ProgressDisplay) -> RemoteJob:
    """Show the job's progress until it has succeeded; return it.

    Raises
    ------
    JobNotSucceeded, ServerUnreachable, ProblemError
    """

    def show(now: RemoteJob) -> None:
        if now.is_final:
            return
        stage = None if now.state == "queued" else now.stage or "probe"
        display.stage(stage, now.progress, eta_s=now.eta_seconds, queue_position=now.queue_position)

    return client.wait(job.id, on_progress=show)


def fetch(client: DuettoClient, job: RemoteJob, output: Path) -> dict[str, Path]:
    """Download both stems and ``result.json`` of a job that has succeeded into `output`; return the stems' files by
    side.

    Raises
    ------
    UnusableFile, ServerUnreachable, ProblemError
    """
    files: dict[str, Path] = {}
    for side in SIDES:
        name = job.stem_name(side)
        files[side] = client.download(job.id, name, output / name)
    document = json.dumps(client.result(job.id), indent=2, ensure_ascii=False) + "\n"
    try:
        (output / "result.json").write_text(document, encoding="utf-8")
    except OSError as error:
        raise UnusableFile(f"cannot write {output / 'result.json'}: {error.strerror}") from error
    return files
