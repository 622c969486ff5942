"""A stage is called as the function that it is, whatever it is made of."""

from __future__ import annotations

from functools import partial
from types import FunctionType, MethodType

import pytest

from gateway.core.service import Service, function_of


class Stage:
    async def __call__(self, request: int, /) -> int:
        return request + 1

    async def method(self, request: int, /) -> int:
        return request + 1


async def plain(request: int, /) -> int:
    return request + 1


async def sum_of(one: int, other: int) -> int:
    return one + other


@pytest.mark.parametrize("service", [Stage(), Stage().method, plain, partial(sum_of, 1)])
async def test_it_answers_as_the_stage_does(service: Service[int, int]) -> None:
    assert await function_of(service)(1) == 2


@pytest.mark.parametrize("service", [Stage(), Stage().method, plain])
def test_what_is_called_is_a_function_of_python(service: Service[int, int]) -> None:
    assert isinstance(function_of(service), FunctionType | MethodType)
