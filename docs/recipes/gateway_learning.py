"""A gateway that learns: it logs its decisions, and a job learns from them."""

import json
import logging
import os
from copy import copy
from pathlib import Path

import numpy as np
import pandas as pd


def append(path, row):
    """Append a row to a file of JSON lines."""
    # Opened each time, because the job takes files away.
    with open(path, "a") as file:
        file.write(json.dumps(row) + "\n")


def log_call(path, x, decision):
    """Log one decision and the embedding of its prompt."""
    if decision.request_id is None:
        raise ValueError("feedback needs the id of its call; pass request_id to route_logged.")
    append(path, {**decision._asdict(), "x": np.asarray(x, dtype=np.float64).tolist()})


def log_feedback(path, request_id, error):
    """Log the error of an answer, which may come back much later."""
    append(path, {"request_id": request_id, "error": float(error)})


def read_rows(path):
    """Read a file of JSON lines, but for damaged ones."""
    rows = []
    with open(path) as file:
        for line in file:
            try:
                rows.append(json.loads(line))
            except ValueError:
                logging.warning("a line of %s is left out: %.80r", path, line)
    return pd.DataFrame(rows)


def learn(router, calls, feedback, *, fading=1.0):
    """Learn from the feedback that came back since the last time; run it every few minutes.

    If it fails, the router is as before, and the next run finds the same feedback. Of several calls
    with one id, the last one was answered. The file `calls` keeps growing: begin a new one when no
    more feedback is expected for the old one. Returns a router that has learned, to be saved.
    """
    feedback = Path(feedback)
    taken = feedback.with_suffix(".taken")
    if not taken.exists():
        if not feedback.exists():
            return router
        os.replace(feedback, taken)
    learned = copy(router)
    grades = read_rows(taken)
    if len(grades):
        made = read_rows(calls)
        made, grades = (one.drop_duplicates("request_id", keep="last") for one in (made, grades))
        log = made.merge(grades, on="request_id")
        # Models that left the pool since have nothing to learn.
        log = log[log["model"].isin(router.models_)]
        if len(log):
            if fading < 1:
                learned.decay(fading ** len(log))
            learned.update_from_log(np.stack(log["x"]), log["model"], log["error"])
    taken.unlink()
    return learned
