"""A custom routing strategy for LiteLLM: a routing table chooses the deployment of a request."""

from litellm.types.router import CustomRoutingStrategyBase


class RoutingTableStrategy(CustomRoutingStrategyBase):
    """Choose the deployment whose id is the model that the table chooses for the last message.

    When LiteLLM retries a request, deployments that failed are left out.

    Parameters
    ----------
    router : litellm.Router
        Router whose deployments share one model name and have the names of models as
        ``model_info["id"]``. Models of the table without a deployment are never chosen.
    current : CurrentTable
        Routing table.
    embed : callable
        Function that maps a text to its embedding.
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
        """Return an entry of the router's model list, without waiting."""
        return self.get_available_deployment(*args, **kwargs)
