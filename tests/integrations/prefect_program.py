"""Runs the flows with a Prefect server; prints what it found as JSON.

It knows the package and Prefect only.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.flows import load_flow_from_entrypoint
from prefect.testing.utilities import prefect_test_harness

from crypto_lakehouse.integrations import prefect as flows

DAY = {"data_types": ["klines"], "date_range": {"start": "2025-07-15", "end": "2025-07-15"}}


def on(day: int, **options: Any) -> dict[str, Any]:
    return {**DAY, "date_range": {"start": f"2025-07-{day}", "end": f"2025-07-{day}"}, **options}


async def stored() -> dict[str, Any]:
    """What the server has of all runs."""
    async with get_client() as client:
        artifacts = await client.read_artifacts()
        return {
            "tasks": len(await client.read_task_runs()),
            "runs": len(await client.read_flow_runs()),
            "artifacts": sorted(each.key for each in artifacts if each.key),
            "problems": [
                json.loads(each.data)
                for each in artifacts
                if (each.key or "").endswith("-problems")
            ],
        }


async def main(path: str, symbols: list[str]) -> dict[str, Any]:
    async with get_client() as client:
        limit = GlobalConcurrencyLimitCreate(name="crypto-lakehouse", limit=1)
        await client.create_global_concurrency_limit(limit)
    found: dict[str, Any] = {"day": await flows.collect(path, on(15))}
    found["one"] = await stored()
    many = await flows.collect(path, on(15, symbols=symbols))
    found["many"] = {"report": many, **await stored()}
    both = [flows.collect(path, on(17)), flows.collect(path, on(18))]
    found["limited"] = [report["status"] for report in await asyncio.gather(*both)]
    for name in ("ingest", "validate", "compact"):
        found[name] = await getattr(flows, name)(path)
    state = await flows.collect(path, on(16), return_state=True)
    found["corrupt"] = [state.type.value, state.message]
    state = await flows.ingest(path, {"lake": 5}, return_state=True)
    found["faulty"] = [state.type.value, state.message]
    own = {name: {"output_directory": f"out-{name}"} for name in ("desk-a", "desk-b")}
    values = {**json.loads(Path(path).read_text()), "tenants": own}
    Path("tenants.json").write_text(json.dumps(values))
    report = await flows.collect("tenants.json", on(15), tenant="desk-a")
    state = await flows.collect("tenants.json", on(15), return_state=True)
    found["tenants"] = [report["totals"]["verified"], state.message]
    found["all"] = await stored()
    loaded = load_flow_from_entrypoint("crypto_lakehouse.integrations.prefect:fill")
    found["fill"] = [loaded.name, sorted(loaded.parameters.properties)]
    return found


def stopped(path: str) -> str:
    """What ends the worker."""
    try:
        asyncio.run(flows.collect(path, on(20)))
    except BaseException as error:  # noqa: BLE001 - that is the answer
        return type(error).__name__
    return ""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: None)  # Prefect passes it on: by default that kills
    with prefect_test_harness():
        answers = asyncio.run(main(sys.argv[1], sys.argv[2].split(",")))
        answers["stopped"] = stopped(sys.argv[1])
        answers["left"] = [str(each) for each in Path("out/data").rglob("*2025-07-20*")]
    print(json.dumps(answers))  # noqa: T201
