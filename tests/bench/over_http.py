"""Every video of a folder through HTTP, two at a time: ``python -m tests.bench.over_http FOLDER``.

FOLDER holds ``testvideo/*.mp4`` in the report's layout and, to count right labels, ``labels.json``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import duetto
from app.settings import Settings
from app.stack import running_stack
from worker.media.limits import MediaLimits
from worker.verify import check_sum

WORKERS = 2


def main(folder: Path) -> int:
    """Post all videos at once, then follow each; returns 1 if a job failed."""
    videos = sorted((folder / "testvideo").glob("*.mp4"))
    labels_file = folder / "labels.json"
    true = {}
    if labels_file.is_file():
        entries = json.loads(labels_file.read_text(encoding="utf-8"))
        true = {entry["name"]: (entry["left"], entry["right"]) for entry in entries}
    failed = right = 0
    worst = 0.0
    with tempfile.TemporaryDirectory() as data:
        settings = Settings(
            data_dir=Path(data) / "service",
            port=0,
            workers=WORKERS,
            redis_url=None,
            tagger="efficientnet-lite2",
            offline=True,
        )
        with running_stack(settings) as stack, duetto.Client(stack.url) as client:
            began = time.perf_counter()
            jobs = [(video, client.submit(video)) for video in videos]
            for video, job in jobs:
                try:
                    duet = client.fetch(client.wait(job))
                except duetto.JobNotSucceeded as error:
                    failed += 1
                    print(f"{video.stem:<34} FAILED  {error}")
                    continue
                found = (duet.left.instrument, duet.right.instrument)
                error = check_sum(video, duet.left.path, duet.right.path, MediaLimits()).max_error
                worst = max(worst, error)
                is_right = true.get(video.stem) == found
                right += is_right
                verdict = "" if not true else "right" if is_right else f"wrong: is {', '.join(true[video.stem])}"
                print(f"{video.stem:<34} {found[0]:<16} {found[1]:<16} sum {error:.0e}  {verdict}", flush=True)
            seconds = time.perf_counter() - began
    print(f"\n{len(videos)} videos, {failed} failed, {WORKERS} workers, {seconds:.0f} s in all")
    print(f"labels right in {right} of {len(true)}" if true else "no labels.json: labels not judged")
    print(f"largest |left + right - mix|: {worst:.1e} of full scale")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
