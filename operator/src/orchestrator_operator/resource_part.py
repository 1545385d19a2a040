"""How the parts of a resource, spec and status alike, look in JSON and in Python.

Before: the API server's JSON, camelCase.
After: ``spec`` and ``status_model`` derive their parts from it; ``schema`` reads both.
"""

from pydantic import AliasGenerator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ResourcePart(BaseModel):
    """Frozen, camelCase in JSON; what a later version added is ignored."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=AliasGenerator(alias=to_camel),
        populate_by_name=True,
        use_attribute_docstrings=True,
    )
