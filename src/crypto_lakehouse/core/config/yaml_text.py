"""Parses YAML configuration files; a separate module, because most runs need no YAML parser."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError

__all__ = ["parse_yaml"]


def parse_yaml(text: str) -> Any:
    """Parse YAML; a repeated key is an error, and every error names its line.

    Raises:
        ValueError: The text is not valid YAML.
    """
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (at line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"{error.problem}{place}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:
            problem = f"not a valid {node.tag}: {error}"
            raise ConstructorError(None, None, problem, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = node.value if node.id == "mapping" else ()
        seen: set[tuple[str, str]] = set()
        for key in [key for key, _ in pairs if isinstance(key, yaml.ScalarNode)]:
            if (key.tag, key.value) in seen:
                problem = f"key `{key.value}` is repeated"
                raise ConstructorError(None, None, problem, key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)
