"""``python -m worker.media.decoding``: started by `worker.media.process`, for one file each."""

from worker.media.decoding.serve import serve
from worker.media.decoding.tasks import TASKS

if __name__ == "__main__":
    serve(TASKS)
