"""The eight instruments as the front end shows them.

A copy of `models.instruments`, because `app` does not import `models`; a test keeps the two equal.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

InstrumentName = Literal[
    "accordion", "acoustic_guitar", "cello", "trumpet", "flute", "xylophone", "saxophone", "violin"
]
INSTRUMENT_NAMES: Final[tuple[InstrumentName, ...]] = get_args(InstrumentName)


class Instrument(BaseModel):
    """One instrument: its name in requests and results, a label for people, and its place in the order."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "example": {
                "index": 3,
                "name": "trumpet",
                "label": "Trumpet",
                "imagenet_id": 513,
                "imagenet_name": "cornet",
            }
        },
    )

    index: int = Field(ge=0, le=7, description="Place in the order of every array with an instrument axis.")
    name: InstrumentName = Field(description="The name in requests and results.")
    label: str = Field(description="The name for people.")
    imagenet_id: int = Field(ge=0, le=999, description="The ImageNet-1k class that stands for it.")
    imagenet_name: str = Field(description="What ImageNet calls that class.")


def _instrument(index: int, imagenet_id: int, imagenet_name: str) -> Instrument:
    name = INSTRUMENT_NAMES[index]
    return Instrument(
        index=index,
        name=name,
        label=name.replace("_", " ").capitalize(),
        imagenet_id=imagenet_id,
        imagenet_name=imagenet_name,
    )


INSTRUMENTS: Final[tuple[Instrument, ...]] = (
    _instrument(0, 401, "accordion"),
    _instrument(1, 402, "acoustic guitar"),
    _instrument(2, 486, "cello"),
    _instrument(3, 513, "cornet"),
    _instrument(4, 558, "flute"),
    _instrument(5, 642, "marimba"),
    _instrument(6, 776, "sax"),
    _instrument(7, 889, "violin"),
)
