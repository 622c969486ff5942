"""What our own API documents promise, tried by schemathesis on the real server; ``make fuzz`` goes on for longer."""

from __future__ import annotations

import pytest
from schemathesis import GenerationMode

from tests.support.api_fuzz import ApiFuzz
from tests.support.stack import Stack

DOCUMENTS = [("tumor", "3.1"), ("tumor", "3.0"), ("tumor", "2.0"), ("diamond-price", "3.1")]


@pytest.mark.parametrize(("endpoint", "version"), DOCUMENTS)
def test_whatever_the_document_allows_or_forbids_is_answered_as_it_says(
    examples: Stack, endpoint: str, version: str
) -> None:
    with ApiFuzz(examples, endpoint, version) as fuzz:
        statuses = fuzz.run(10)

    assert {200, 400} <= set(statuses)


def test_what_the_document_describes_is_accepted(examples: Stack) -> None:
    with ApiFuzz(examples, "tumor", "3.1") as fuzz:
        statuses = fuzz.run(12, [GenerationMode.POSITIVE])

    # Not all of it: a document cannot say which texts are levels of a category in every form.
    assert statuses.count(200) >= 3
