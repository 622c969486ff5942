"""The same rows give the same answer on every wire: that of plain R and plain ONNX Runtime, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.samples import expected, sample
from tests.support.stack import Stack
from tests.support.wires import WIRES, Client, Target, Wire

DEPLOYMENTS = [(endpoint, name) for endpoint in ("diamond-price", "tumor") for name in ("blue", "green")]


@pytest.fixture(scope="module")
def client(examples: Stack) -> Iterator[Client]:
    with Client(examples) as client:
        yield client


@pytest.mark.parametrize(("endpoint", "deployment"), DEPLOYMENTS)
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_two_hundred_rows_are_answered_as_by_the_plain_model(
    client: Client, wire: Wire, endpoint: str, deployment: str
) -> None:
    outcome = wire.ask(client, Target(endpoint, deployment), sample(endpoint))

    assert outcome.values == expected(endpoint, deployment)


@pytest.mark.parametrize(("endpoint", "deployment"), DEPLOYMENTS)
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_single_rows_are_answered_as_by_the_plain_model(
    client: Client, wire: Wire, endpoint: str, deployment: str
) -> None:
    rows = range(0, 200, 40)
    outcomes = [wire.ask(client, Target(endpoint, deployment), sample(endpoint).head(1, row)) for row in rows]

    assert [outcome.values for outcome in outcomes] == [
        {name: [values[row]] for name, values in expected(endpoint, deployment).items()} for row in rows
    ]
