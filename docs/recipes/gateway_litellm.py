"""A custom routing strategy for LiteLLM: a routing table picks the deployment of each request."""

from litellm.types.router import CustomRoutingStrategyBase


class RoutingTableStrategy(CustomRoutingStrategyBase):
    """Pick the deployment whose id is the model that the table chooses for the last message.

    Deployments that failed a request already are left out when LiteLLM tries it again.

    Parameters
    ----------
    router : litellm.Router
        All deployments share one model name, and have the names of models as
        ``model_info["id"]``. Models of the table without a deployment are left out.
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
        deployments = {entry["model_info"]["id"]: entry for entry in self.router.model_list}
        table = self.current.get()
        exclude = [name for name in table.models if name in failed or name not in deployments]
        return deployments[table.route(self.embed(messages[-1]["content"]), exclude=exclude)]

    async def async_get_available_deployment(self, *args, **kwargs):
        """Return an entry of the router's model list; nothing here waits."""
        return self.get_available_deployment(*args, **kwargs)
