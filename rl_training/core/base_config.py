"""The base of every config: how strictly values are checked."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Values that are validated once, when the object is made.

    Types are strict: a bool is not an int, text is not a number. NaN, infinity and unknown keys are errors.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
