"""What evaluation raises on purpose.

::

    ModelsError
    └── EvaluationError        an evaluation that cannot be done
        └── InvalidLayout      a test set, or results, with a file missing, damaged or in the wrong place
"""

from __future__ import annotations

from models.errors import ModelsError


class EvaluationError(ModelsError):
    """An evaluation that cannot be done, or could not be finished."""


class InvalidLayout(EvaluationError, ValueError):  # noqa: N818 - named for what is wrong
    """A file of the test set or of the results is missing, damaged or not as the layout wants it."""
