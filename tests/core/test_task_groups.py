"""Callers of task groups get the one error of ours, never a group around it."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from crypto_lakehouse.core.errors import LakehouseError, LedgerError, StoreError
from crypto_lakehouse.core.task_groups import one_error

OURS = StoreError("out", "disk full")


@pytest.mark.parametrize(
    "group",
    [
        ExceptionGroup("tasks", [OURS]),
        ExceptionGroup("outer", [ExceptionGroup("inner", [ExceptionGroup("core", [OURS])])]),
        ExceptionGroup("tasks", [OURS, LedgerError("ledger", "locked")]),
        ExceptionGroup("tasks", [KeyError("fault"), ExceptionGroup("inner", [OURS])]),
    ],
    ids=["alone", "nested", "first of ours", "beside a fault"],
)
def test_an_error_of_ours_is_raised_alone(group: ExceptionGroup[Exception]) -> None:
    with pytest.raises(LakehouseError) as raised, one_error():
        raise group
    assert raised.value is OURS
    assert raised.value.__suppress_context__


def test_a_group_of_faults_in_the_program_passes_unchanged() -> None:
    group = ExceptionGroup("tasks", [KeyError("fault"), ValueError("fault")])
    with pytest.raises(ExceptionGroup) as raised, one_error():
        raise group
    assert raised.value is group


@pytest.mark.parametrize(
    "error", [OURS, ValueError("fault"), KeyboardInterrupt(), asyncio.CancelledError()]
)
def test_errors_outside_a_group_pass_unchanged(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, one_error():
        raise error
    assert raised.value is error


def test_an_interrupt_in_a_group_is_not_hidden_by_an_error_of_ours() -> None:
    group = BaseExceptionGroup("tasks", [KeyboardInterrupt(), OURS])
    with pytest.raises(BaseExceptionGroup) as raised, one_error():
        raise group
    assert raised.value is group


def test_without_an_error_nothing_happens() -> None:
    with one_error():
        pass


async def test_a_real_task_group_gives_its_one_error() -> None:
    async def fail() -> None:
        raise OURS

    async def run() -> None:
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail)
                tasks.start_soon(anyio.sleep_forever)

    with pytest.raises(StoreError, match="disk full"):
        await run()
