"""Evaluation on a set of duets whose true stems are known, in the report's layout.

==============  =============================================================================
module          what
==============  =============================================================================
``layout``      finds the files of a test set, and what is missing
``results``     reads and writes stems as the report lays them out
``sound``       reads the recordings of a duet, aligned
``scores``      measures two stems; floor and ceiling
``ledger``      keeps what is finished, so that a run that was stopped goes on
``unequal``     the same players with one quieter than the other
``duets``       one duet: labels, separation, scores
``evaluate``    all duets, in processes
``summary``     means over duets, instruments and labels
``report``      the tables, and the evaluation as JSON and Markdown
==============  =============================================================================

A *method* is a column group of the tables: a separator, or stems that were made elsewhere.
"""

from __future__ import annotations
