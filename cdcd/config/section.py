"""What every part of the settings has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings that one part of the program sees."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
