"""What every block of options shares."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationInfo, field_validator


class Block(BaseModel):
    """Options as YAML gives them: `true` is no number, which pydantic would take for 1."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
            number = "a number" if float in kinds else "a whole number"
            null = " or null" if type(None) in kinds else ""
            raise ValueError(f"takes {number}{null}, not true or false (given: {value})")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """The members of a union, or the one type there is."""
    return set(get_args(annotation)) | {annotation}


__all__ = ["Block"]
