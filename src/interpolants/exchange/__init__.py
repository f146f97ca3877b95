"""Exchange with other tools: programs that run without this library, and models of other libraries as fields."""

from interpolants.exchange.azula_models import from_azula
from interpolants.exchange.diffusers_models import from_diffusers
from interpolants.exchange.export import Exported, export
from interpolants.exchange.flow_matching_models import from_flow_matching

__all__ = ["Exported", "export", "from_azula", "from_diffusers", "from_flow_matching"]
