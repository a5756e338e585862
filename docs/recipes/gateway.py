"""A gateway: publish a routing table, reload it when it changes, and answer prompts."""

import logging
import os
import time

from sklearn_uniroute import RoutingTable


def publish(router, costs, path, *, cost_weight, embedder, exploration=0.0):
    """Write the table that gateways read, at today's costs.

    `costs` maps models to the mean cost of a call, in the unit that the router was fitted with.
    """
    before = dict(zip(router.models_.tolist(), router.costs_.tolist(), strict=True))
    try:
        for model, cost in costs.items():
            router.set_cost(model, cost)
    except ValueError:
        for model, cost in before.items():
            router.set_cost(model, cost)
        raise
    table = router.routing_table(cost_weight=cost_weight, exploration=exploration)
    table.save(path, embedder=embedder)


class CurrentTable:
    """The routing table of a file, read again when the file changes.

    Threads may share it. If the new file is damaged, missing, or made for other embeddings, the
    previous table stays in use. A file that cannot be read now, such as one on a network share that
    is down, is tried again after `retry_after` seconds.
    """

    def __init__(self, path, embedder, *, retry_after=1.0):
        self.path, self.embedder, self.retry_after = path, embedder, retry_after
        self._current = self._version(), RoutingTable.load(path, embedder=embedder)
        self._next_try = 0.0

    def get(self):
        """Return the current table."""
        version, table = self._current
        if time.monotonic() < self._next_try:
            return table
        try:
            now = self._version()
            if now != version:
                table = self._load(now, version, table)
        except OSError:
            self._next_try = time.monotonic() + self.retry_after
            logging.exception("the routing table cannot be read now")
        return table

    def _load(self, now, version, table):
        # Set at once, so that other threads do not read the file as well.
        self._current = now, table
        try:
            table = RoutingTable.load(self.path, embedder=self.embedder)
        except OSError:
            self._current = version, table
            raise
        except ValueError:
            logging.exception("the new routing table is not used")
        self._current = now, table
        return table

    def _version(self):
        status = os.stat(self.path)
        return status.st_mtime_ns, status.st_ino, status.st_size


# Errors of a connection, by the names of their classes in httpx, requests and openai.
OUTAGES = {
    "APIConnectionError",
    "ChunkedEncodingError",
    "ConnectionError",
    "Timeout",
    "TimeoutError",
    "TransportError",
}


def is_outage(error):
    """Tell whether another model may answer where this one failed.

    That is so if the connection failed or timed out, if the server failed, and if it limits the
    rate of requests. A request that is wrong in itself fails everywhere.
    """
    for source in (error, getattr(error, "response", None)):
        status = getattr(source, "status_code", None)
        if status is not None:
            return int(status) in (408, 429) or int(status) >= 500
    return any(kind.__name__ in OUTAGES for kind in type(error).__mro__)


def answer(prompt, table, embed, call, down=()):
    """Ask the model chosen for the prompt; if it is out, ask the best of the others.

    `embed` maps a prompt to its embedding, and `call` maps a model and a prompt to an answer.
    `down` are models known to be down. Returns the model and its answer.
    """
    x = embed(prompt)
    down = {down} if isinstance(down, str) else set(down)
    failed, last = down & set(table.models), None
    while len(failed) < len(table.models):
        model = table.route(x, exclude=failed)
        try:
            return model, call(model, prompt)
        except Exception as error:
            if not is_outage(error):
                raise
            logging.warning("%s is out: %r", model, error)
            failed.add(model)
            last = error
    raise ConnectionError(
        f"none of these models answers: {', '.join(map(str, table.models))}"
    ) from last


def answer_checked(prompt, table, embed, call, check, down=()):
    """Ask models, by a CascadeTable, until an answer is worth keeping.

    `check` maps a prompt and an answer to a score. Returns the model and its answer. If a model is
    out, the others are asked as if nothing had been asked yet.
    """
    down = {down} if isinstance(down, str) else set(down)
    step, answers = table.first(embed(prompt), exclude=down & set(table.models)), {}
    while step["ask"] is not None:
        model, score = step["ask"], None
        try:
            if model not in answers:
                answers[model] = call(model, prompt)
        except Exception as error:
            if not is_outage(error) or down | {model} >= set(table.models):
                raise
            logging.warning("%s is out: %r", model, error)
            down.add(model)
            step = table.first(embed(prompt), exclude=down & set(table.models))
            continue
        if step["check"]:
            try:
                score = check(prompt, answers[model])
            except Exception as error:
                if not is_outage(error):
                    raise
                logging.warning("the check is out: %r", error)
        step = table.next(step, score)
    return step["keep"], answers[step["keep"]]
