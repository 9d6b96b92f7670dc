"""YAML in which no key stands twice: a parser takes the last one, and the first is lost in silence."""

from __future__ import annotations

from typing import Any


def read(text: str) -> Any:
    """What a YAML text says.

    Raises:
        yaml.YAMLError: when it is not YAML, or a mapping has a key twice, with the lines.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            lines: dict[str, int] = {}
            for key, _ in node.value:  # before merge keys bring in others
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise yaml.YAMLError(
                        f'the key "{key.value}" stands twice in one block, in lines {lines[key.value]} and {line}, and '
                        "only the last would count: remove one"
                    )
                lines[key.value] = line
            return super().construct_mapping(node, deep)

    return yaml.load(text, Loader)
