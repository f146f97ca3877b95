"""What is told of a training: its pace, its silence, its time."""

import math

from interpolants.framework.stage_logs import StageLog
from interpolants.reports.training_words import growing, trained

ROWS = [{"step": step} for step in (100, 200)]
LOG = StageLog(ROWS, written=1000.0, seconds=(10.0, 20.0), steps=1000)  # ten seconds a row


def test_a_training_is_told_by_its_pace():
    told = growing({"match": LOG}, now=1005.0)
    assert told == "In training, stage match: step 200 of 1,000, 20 s so far, about 1 min 20 s left."
    assert growing({}) == "Training has not written its first line yet."


def test_silence_is_told_after_ten_times_the_pace():
    assert growing({"match": LOG}, now=1090.0).endswith("left.")
    assert "Nothing was written for 2 min: it has probably been stopped" in growing(
        {"match": LOG}, now=1120.0
    )


def test_the_last_stage_is_told_of_and_without_times_or_steps_nothing_is_guessed():
    bare = StageLog(ROWS, written=1000.0)
    assert growing({"match": LOG, "leg/match": bare}, now=1005.0) == "In training, stage leg/match: step 200."
    assert growing({"count": bare}, now=1120.0).startswith(
        "In training, stage count: step 200. Nothing was written for 2 min"
    )
    first = StageLog(ROWS[:1], written=1000.0, seconds=(math.nan,), steps=300)
    assert growing({"match": first}, now=1005.0) == "In training, stage match: step 100 of 300."


def test_a_finished_training_is_told_by_stage():
    assert trained({"match": LOG, "count": StageLog(ROWS)}) == "match: 200 steps in 20 s; count: 200 steps"
    assert trained({}) == ""
