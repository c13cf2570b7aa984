"""How far a call is."""

from __future__ import annotations

from dataclasses import dataclass, field

from duetto._job import Job


@dataclass(frozen=True, slots=True)
class Progress:
    """What `on_progress` is called with.

    Attributes
    ----------
    stage : str
        ``upload``, ``queued``, ``probe``, ``tag``, ``separate``, ``encode``, the job's state once it has ended,
        ``download``; ``paused`` while the client waits for a server that is busy or away.
    fraction : float
        0 to 1: how much is uploaded, how much of the whole job is done, how much is downloaded.
    eta_seconds : float or None
        What is left of the job, by the server's estimate.
    queue_position : int or None
        How many jobs are ahead.
    note : str
        Why it is paused.
    job : Job or None
        The job, once there is one.
    """

    stage: str
    fraction: float
    eta_seconds: float | None = None
    queue_position: int | None = None
    note: str = ""
    job: Job | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of_job(cls, job: Job) -> Progress:
        """Return how far `job` is."""
        stage = (job.stage or "probe") if job.state == "running" else job.state
        return cls(stage, job.progress, job.eta_seconds, job.queue_position, job=job)

    def __str__(self) -> str:
        """Say it in a line: ``separate 62 %, about 10 s left``."""
        text = f"{self.stage} {self.fraction:.0%}".replace("%", " %")
        if self.queue_position:
            text += f", {self.queue_position} ahead"
        if self.eta_seconds is not None:
            text += f", about {self.eta_seconds:.0f} s left"
        return f"{text}: {self.note}" if self.note else text
