"""A custom routing strategy for LiteLLM: a routing table picks the deployment of each request."""

from litellm.types.router import CustomRoutingStrategyBase


class RoutingTableStrategy(CustomRoutingStrategyBase):
    """Pick the deployment whose id is the model that the table chooses for the last message.

    Deployments that failed a request already are left out when LiteLLM tries it again.

    Parameters
    ----------
    router : litellm.Router
        All deployments share one model name, and have the names of the table's models as
        ``model_info["id"]``.
    current : CurrentTable
        The table.
    embed : callable
        Maps a text to its embedding.
    """

    def __init__(self, router, current, embed):
        self.router, self.current, self.embed = router, current, embed

    def get_available_deployment(
        self, model, messages=None, input=None, specific_deployment=False, request_kwargs=None
    ):
        """Return an entry of the router's model list."""
        metadata = (request_kwargs or {}).get("metadata") or {}
        failed = {attempt["deployment_id"] for attempt in metadata.get("previous_models") or ()}
        chosen = self.current.get().route(self.embed(messages[-1]["content"]), exclude=failed)
        return next(
            deployment
            for deployment in self.router.model_list
            if deployment["model_info"]["id"] == chosen
        )

    async def async_get_available_deployment(self, *args, **kwargs):
        """Return an entry of the router's model list; nothing here waits."""
        return self.get_available_deployment(*args, **kwargs)
