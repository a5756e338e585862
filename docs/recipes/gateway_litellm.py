"""A custom routing strategy for LiteLLM: a routing table chooses the deployment of a request."""

from litellm.types.router import CustomRoutingStrategyBase


class RoutingTableStrategy(CustomRoutingStrategyBase):
    """Choose the deployment whose id is the model that the table chooses for the last message.

    Only deployments of the model group that was asked for are chosen. A group of a single
    deployment, and one of which the table knows no model, is answered by its first deployment. When
    LiteLLM retries a request, deployments that failed are left out as long as others are left.

    Parameters
    ----------
    router : litellm.Router
        Router whose deployments have the names of models as ``model_info["id"]``.
    current : CurrentTable
        Routing table. Models without a deployment in the group are never chosen.
    embed : callable
        Function that maps a text to its embedding.
    """

    def __init__(self, router, current, embed):
        self.router, self.current, self.embed = router, current, embed

    def get_available_deployment(
        self, model, messages=None, input=None, specific_deployment=False, request_kwargs=None
    ):
        """Return an entry of the router's model list."""
        group = {
            entry["model_info"]["id"]: entry
            for entry in self.router.model_list
            if model in (entry["model_name"], entry["model_info"]["id"])
        }
        if not group:
            raise ValueError(f"no deployment belongs to the model group {model!r}")
        table = self.current.get()
        known = [name for name in table.models if name in group]
        metadata = (request_kwargs or {}).get("metadata") or {}
        failed = {attempt["deployment_id"] for attempt in metadata.get("previous_models") or ()}
        left = [name for name in known if name not in failed] or known
        if not left:
            return next(iter(group.values()))
        exclude = [name for name in table.models if name not in left]
        return group[table.route(self.embed(last_text(messages, input)), exclude=exclude)]

    async def async_get_available_deployment(self, *args, **kwargs):
        """Return an entry of the router's model list, without waiting."""
        return self.get_available_deployment(*args, **kwargs)


def last_text(messages, input=None):
    """Return the text of the last message that has some; images and calls of tools have none."""
    texts = [text_of(message.get("content")) for message in messages or ()] or [text_of(input)]
    return next((text for text in reversed(texts) if text), "")


def text_of(content):
    """Return the text of a message, which may come in parts."""
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else part.get("text") for part in content]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
