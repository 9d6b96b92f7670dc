"""What every block of options shares."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import (
    BaseModel,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)


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

    @model_serializer(mode="wrap")
    def _null_that_says_something(self, dump: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Axolotl dumps a configuration without None, by which `lead: null` would become the default again."""
        dumped: dict[str, Any] = dump(self)
        if info.exclude_none:
            for name, field in type(self).model_fields.items():
                wanted = name not in (info.exclude or ()) and (info.include is None or name in info.include)
                if wanted and getattr(self, name) is None and field.get_default(call_default_factory=True) is not None:
                    dumped[name] = None
            dumped.update({name: None for name, value in (self.model_extra or {}).items() if value is None})
        return dumped


def _kinds(annotation: Any) -> set[Any]:
    """The members of a union, or the one type there is."""
    return set(get_args(annotation)) | {annotation}


__all__ = ["Block"]
