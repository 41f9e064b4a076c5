"""Programs outside a sandbox: a task is its function, so that it can be tested."""

from __future__ import annotations

import asyncio
import inspect

import pytest

import capsule
from capsule import CapsuleError, ProgramTask, Task, TaskError, task, task_of


@task(name="double", compute="LOW", ram="64MB", timeout="1s", max_retries=3)
def double(value: int, *, times: int = 1) -> int:
    """Doubles."""
    if value < 0:
        raise ValueError("negative")
    return value << times


@task
async def later(value: int) -> int:
    await asyncio.sleep(0.01)
    if value < 0:
        raise ValueError("negative")
    return value + 1


@task
def caller(value: int) -> str:
    try:
        return str(double(value))
    except TaskError as error:
        return f"{error.error_type} in {error.task}: {error.code}"


@task
async def async_caller(values: list[int]) -> list[int]:
    return list(await asyncio.gather(*[later(value) for value in values]))


@task
async def async_catcher() -> str:
    try:
        return str(await later(-1))
    except TaskError as error:
        assert isinstance(error.__cause__, ValueError)
        return error.error_type


def test_a_task_is_its_function() -> None:
    assert double(2) == 4
    assert double(2, times=3) == 16
    assert double.function(3) == 6
    assert (double.__name__, double.__doc__, double.name) == ("double", "Doubles.", "double")
    assert str(inspect.signature(double)) == "(value: 'int', *, times: 'int' = 1) -> 'int'"
    assert isinstance(double, Task)
    assert repr(double) == "<task 'double'>"
    assert double.options == {
        "name": "double",
        "compute": "LOW",
        "ram": "64MB",
        "timeout": "1s",
        "max_retries": 3,
    }


def test_a_test_sees_the_functions_own_exception() -> None:
    with pytest.raises(ValueError, match="negative"):
        double(-1)
    with pytest.raises(ValueError, match="negative"):
        asyncio.run(later(-1))
    with pytest.raises(ValueError, match="negative"):
        double.submit(-1).result()


def test_a_task_sees_what_it_would_see_in_a_sandbox() -> None:
    assert caller(2) == "4"
    assert caller(-1) == "ValueError in double: E3008"
    assert asyncio.run(async_catcher()) == "ValueError"


def test_async_tasks() -> None:
    assert asyncio.run(later(1)) == 2
    assert asyncio.run(async_caller([1, 2, 3])) == [2, 3, 4]


def test_async_tasks_begin_when_they_are_called() -> None:
    begun = []

    @task
    async def note(value: int) -> None:
        begun.append(value)

    async def main() -> None:
        call = note(1)
        await asyncio.sleep(0.01)
        assert begun == [1]
        await call
        pending = later(5)
        assert await asyncio.wait_for(pending, 1) == 6

    asyncio.run(main())


def test_submissions() -> None:
    submission = double.submit(4)
    assert submission.done()
    assert not submission.cancel()
    assert submission.result(timeout=1) == 8
    assert double.map([1, 2, 3]) == [2, 4, 6]
    assert later.submit(1).result() == 2
    assert later.map([1, 2]) == [2, 3]

    async def main() -> None:
        assert await double.submit(5) == 10
        assert await later.submit(1) == 2
        # Also where the loop is busy waiting for it.
        assert later.submit(7).result() == 8
        assert await asyncio.gather(*[later(n) for n in range(5)]) == [1, 2, 3, 4, 5]

    asyncio.run(main())


def test_options_are_checked_where_they_are_written() -> None:
    with pytest.raises(TypeError, match="task\\(\\) has no option 'rams'; did you mean 'ram'"):
        task(rams="1MB")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="options by name"):
        task("name")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="a task option cannot be object"):
        task(ram=object())  # type: ignore[call-overload]


def test_the_client_of_http_is_there() -> None:
    names = {"get", "post", "put", "delete", "patch", "head"}
    assert names <= set(dir(capsule.http))


def test_a_task_of_another_program_says_how_to_run_it() -> None:
    page: ProgramTask[[str], str] = task_of("render", "page")
    assert (page.program, page.name, repr(page)) == ("render", "render:page", "<task 'render:page'>")
    with pytest.raises(CapsuleError, match="capsule run FILE"):
        page("x")
    with pytest.raises(CapsuleError, match="render:page"):
        page.map(["x"])
    later = page.submit("x")
    with pytest.raises(CapsuleError):
        later.result()

    @task
    def caller() -> str:
        return page("x")

    # Not a failure of the task: nothing ran.
    with pytest.raises(CapsuleError) as raised:
        caller()
    assert not isinstance(raised.value, TaskError)


def test_names_of_other_programs_are_checked() -> None:
    for program in ["", "a:b", "..", "/etc", "render.ts", "1a", "-a", "a b", "\u0663", "ä", "a" * 65]:
        with pytest.raises(ValueError, match="no name of a program"):
            task_of(program, "page")
    for name in ["", "\ud800"]:
        with pytest.raises(ValueError, match="no name of a task"):
            task_of("render", name)
    with pytest.raises(TypeError, match="names"):
        task_of("render", 1)  # type: ignore[arg-type]
    assert task_of("Render-2_x", "any name: at all").name == "Render-2_x:any name: at all"
