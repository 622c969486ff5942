"""
The same mistake gives the same error on every wire: the same text, and the status that the one table names.

Where a wire cannot make a mistake in the same way (a tensor has one datatype, a plain table no names), the text says
what is wrong there instead; those texts are written out here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from gateway.core.errors import GatewayError, InvalidInput, NotFound, Unauthenticated
from gateway.edge.status import STATUS
from tests.support.samples import Frame, sample, signature
from tests.support.stack import Stack
from tests.support.wires import WIRES, Client, Target, Wire

ENDPOINT, DEPLOYMENT = "diamond-price", "blue"
OURS = Target(ENDPOINT, DEPLOYMENT)
GOOD = sample(ENDPOINT).head(3)
TYPES = signature(ENDPOINT, DEPLOYMENT)
OR_KEY = '; or send "diamond_id", by which view "diamonds" has it'
CUTS = '"Fair", "Good", "Very Good", "Premium", "Ideal"'


@dataclass(frozen=True, slots=True)
class Case:
    """A mistake. ``message`` is what most wires say; ``otherwise`` says it for those that cannot."""

    error: type[GatewayError]
    message: str
    frame: Frame = GOOD
    target: Target = OURS
    otherwise: Callable[[Wire], str | None] = lambda _: None


def _by_rows(wire: Wire) -> bool:
    return "records" in wire.name or wire.name in ("/invocations instances", "/api/v1/service/score")


def _by_columns(wire: Wire) -> bool:
    return "columns" in wire.name or wire.name == "/invocations inputs"


def _missing_column(wire: Wire) -> str | None:
    if wire.is_positional:
        return "row 0: expected a list of 9 values, got 8 values; or send only diamond_id"
    return f'column "clarity", row 0: expected a value, it is missing{OR_KEY}' if _by_rows(wire) else None


def _ragged(wire: Wire) -> str | None:
    if _by_rows(wire):
        return f'column "z", row 1: expected a value, it is missing{OR_KEY}'
    if _by_columns(wire):
        return 'column "z": expected 3 rows as in "carat", got 2'
    if wire.is_text:
        return "line 3: expected 9 cells, got 8"
    return 'input "z": expected 3 rows as in "carat", got 2' if wire.is_typed else None


CASES: dict[str, Case] = {
    "an unknown level": Case(
        InvalidInput,
        f'column "cut", row 1: expected one of {CUTS}, got "Superb"',
        GOOD.with_value(1, "cut", "Superb"),
    ),
    "a text for a number": Case(
        InvalidInput,
        'column "depth", row 1: expected a number, got "deep"',
        GOOD.with_value(1, "depth", "deep"),
        Target(ENDPOINT, DEPLOYMENT, types={**TYPES, "depth": "BYTES"}),
        lambda wire: 'column "depth", row 0: expected datatype FP64, got BYTES' if wire.is_typed else None,
    ),
    "a number for a level": Case(
        InvalidInput,
        f'column "cut", row 0: expected one of {CUTS}, got 2.5',
        GOOD.with_value(0, "cut", 2.5).with_value(1, "cut", 2.5).with_value(2, "cut", 2.5),
        Target(ENDPOINT, DEPLOYMENT, types={**TYPES, "cut": "FP64"}),
        lambda wire: (
            'column "cut", row 0: expected datatype BYTES, got FP64'
            if wire.is_typed
            else f'column "cut", row 0: expected one of {CUTS}, got "2.5"'
            if wire.is_text
            else None
        ),
    ),
    "a missing value": Case(
        InvalidInput,
        'column "carat", row 2: expected a number, got nothing',
        GOOD.with_value(2, "carat", None),
        otherwise=lambda wire: (
            'column "carat", row 2: expected a number, got nan' if wire.is_typed and "JSON" not in wire.name else None
        ),
    ),
    "a missing column": Case(
        InvalidInput,
        f'column "clarity": expected a value, it is missing{OR_KEY}',
        GOOD.without("clarity"),
        otherwise=_missing_column,
    ),
    "a short row": Case(
        InvalidInput,
        "row 1: expected a list of 9 values, got 8 values",
        Frame(GOOD.columns, [GOOD.rows[0], GOOD.rows[1][:-1], GOOD.rows[2]]),
        otherwise=_ragged,
    ),
    "too many rows": Case(InvalidInput, "expected 1 to 4096 rows, got 4098", Frame(GOOD.columns, GOOD.rows * 1366)),
    "no rows": Case(InvalidInput, "expected 1 to 4096 rows, got 0", Frame(GOOD.columns, [])),
    "an unknown endpoint": Case(
        NotFound, 'no endpoint "nowhere" here', target=Target("nowhere", DEPLOYMENT, types=TYPES)
    ),
    "an unknown deployment": Case(
        NotFound, f'endpoint "{ENDPOINT}" has no deployment "red"', target=Target(ENDPOINT, "red", types=TYPES)
    ),
    "no key": Case(
        Unauthenticated,
        "expected an Authorization header: Bearer <key>",
        target=Target(ENDPOINT, DEPLOYMENT, key=None),
    ),
    "a wrong key": Case(
        Unauthenticated, "the key is not valid here", target=Target(ENDPOINT, DEPLOYMENT, key="lg_wrong")
    ),
    "a wrong key and rows that do not fit": Case(
        Unauthenticated,
        "the key is not valid here",
        GOOD.without("clarity"),
        Target(ENDPOINT, DEPLOYMENT, key="lg_wrong"),
    ),
}


@pytest.fixture(scope="module")
def client(examples: Stack) -> Iterator[Client]:
    with Client(examples) as client:
        yield client


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_mistake_is_told_in_the_same_words_and_with_the_status_of_the_table(
    client: Client, wire: Wire, case: Case
) -> None:
    row = STATUS[case.error]
    status = {"grpc": row.grpc.name, "score": row.managed}.get(wire.family, row.http)

    outcome = wire.ask(client, case.target, case.frame)

    assert (outcome.status, outcome.message) == (status, case.otherwise(wire) or case.message)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_refusal_spoils_nothing_for_the_next_request(client: Client, wire: Wire) -> None:
    wire.ask(client, OURS, GOOD.without("clarity"))

    assert wire.ask(client, OURS, GOOD).values is not None
