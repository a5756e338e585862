"""A gateway: publish a routing table, reload it when it changes, and answer prompts."""

import logging
import os

from sklearn_uniroute import RoutingTable


def publish(router, prices, path, *, cost_weight, embedder):
    """Write the table that gateways read, at the given prices: a mapping from model to price."""
    for model, price in prices.items():
        router.set_cost(model, price)
    router.routing_table(cost_weight=cost_weight).save(path, embedder=embedder)


class CurrentTable:
    """The routing table of a file, read again when the file changes.

    Threads may share it. If the new file is damaged, missing, or made for other embeddings, the
    previous table stays in use.
    """

    def __init__(self, path, embedder):
        self.path, self.embedder = path, embedder
        self._current = self._version(), RoutingTable.load(path, embedder=embedder)

    def get(self):
        """Return the current table."""
        version, table = self._current
        try:
            now = self._version()
            if now != version:
                self._current = now, table
                table = RoutingTable.load(self.path, embedder=self.embedder)
                self._current = now, table
        except (OSError, ValueError):
            logging.exception("the routing table is not read anew")
        return table

    def _version(self):
        status = os.stat(self.path)
        return status.st_mtime_ns, status.st_ino, status.st_size


def answer(prompt, table, embed, call, down=()):
    """Ask the model chosen for the prompt; if it does not answer, ask the best of the others.

    `embed` maps a prompt to its embedding, and `call` maps a model and a prompt to an answer.
    `down` are models known to be down. Returns the model and its answer.
    """
    x = embed(prompt)
    failed = set(down) & set(table.models)
    while len(failed) < len(table.models):
        model = table.route(x, exclude=failed)
        try:
            return model, call(model, prompt)
        except ConnectionError:
            failed.add(model)
    raise ConnectionError(f"none of these models answers: {', '.join(table.models)}")
