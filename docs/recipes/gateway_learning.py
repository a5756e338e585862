"""A gateway that learns: it logs its decisions, and a job learns from them."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd


def log_call(file, x, decision):
    """Append one decision and the embedding of its prompt to an open file of JSON lines."""
    row = {**decision._asdict(), "x": np.asarray(x, dtype=np.float64).tolist()}
    file.write(json.dumps(row) + "\n")


def log_feedback(file, request_id, error):
    """Append the error of an answer, which may come back much later."""
    file.write(json.dumps({"request_id": request_id, "error": error}) + "\n")


def learn(router, calls, feedback, *, fading=1.0):
    """Learn from the feedback that came back since the last time; run it every few minutes.

    Calls without feedback stay in the file `calls`, and `feedback` is emptied. Nothing is lost if
    the job fails, as both files change only at the end. Returns the number of calls learned from.
    """
    calls, feedback = Path(calls), Path(feedback)
    taken = feedback.with_suffix(".taken")
    if not taken.exists():
        if not feedback.exists():
            return 0
        # The gateway opens a new file for the next feedback.
        os.replace(feedback, taken)
    # Names stay as they are, also those that look like numbers.
    grades = pd.read_json(taken, lines=True, dtype=False)
    made = pd.read_json(calls, lines=True, dtype=False)
    log = made.merge(grades, on="request_id")
    # Models that left the pool since have nothing to learn.
    log = log[log["model"].isin(router.models_)]
    if len(log):
        if fading < 1:
            router.decay(fading ** len(log))
        router.update_from_log(np.stack(log["x"]), log["model"], log["error"])
    taken.unlink()
    return len(log)
