"""The JSON schema of the pipelines of a configuration file."""

from __future__ import annotations

from typing import Any

from crypto_lakehouse.core.config.pipelines import StepKind
from crypto_lakehouse.core.config.quantities import quantity_pattern

__all__ = ["PIPELINES_SCHEMA"]

_NAME = {"type": "string", "minLength": 1}

_STEP: dict[str, Any] = {
    "type": "object",
    "properties": {
        "run": {"description": "What it runs; its name by default.", "enum": [*map(str, StepKind)]},
        "needs": {
            "description": "The steps that must have ended well before.",
            "anyOf": [_NAME, {"type": "array", "items": _NAME}],
        },
        "retry": {
            "description": "When it is run again if it failed.",
            "type": "object",
            "properties": {
                "times": {"type": "integer", "minimum": 0, "maximum": 100},
                "wait": {
                    "anyOf": [
                        {"type": "number", "minimum": 0, "maximum": 86_400},
                        {"type": "string", "pattern": quantity_pattern("seconds")},
                    ]
                },
            },
            "additionalProperties": False,
        },
        "with": {"description": "Keys that have other values in it.", "type": "object"},
    },
    "additionalProperties": False,
}

PIPELINES_SCHEMA: dict[str, Any] = {
    "description": "Steps that crypto-lakehouse run runs, by the name of the pipeline.",
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {
            "steps": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"anyOf": [_STEP, {"type": "null"}]},
            },
            "schedule": {"description": "When it runs: a cron expression.", "type": "string"},
            "zone": {"description": "The time zone of the schedule; UTC by default.", **_NAME},
            "every": {
                "description": "The time from one run to the next, in place of a schedule.",
                "anyOf": [
                    {"type": "number", "minimum": 60, "maximum": 86_400},
                    {"type": "string", "pattern": quantity_pattern("seconds")},
                ],
            },
        },
        "required": ["steps"],
        "additionalProperties": False,
    },
}
