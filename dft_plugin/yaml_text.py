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
        def compose_mapping_node(self, anchor: Any) -> Any:  # later merge keys bring in others
            node = super().compose_mapping_node(anchor)
            lines: dict[tuple[str, Any], int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                line, before = key.start_mark.line + 1, lines.get((key.tag, key.value))
                if before is not None:
                    raise yaml.YAMLError(
                        f'the key "{key.value}" stands twice in one block, in lines {before} and {line}, and only the '
                        "last would count: remove one"
                    )
                lines[key.tag, key.value] = line
            return node

    return yaml.load(text, Loader)
