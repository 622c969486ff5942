from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from feature_cache.settings import StoreSettings
from feature_cache.tracking import Tracking, least_prefixes
from tests.support.unhurried import unhurried


@unhurried
@given(st.lists(st.binary(max_size=4), max_size=8))
def test_least_prefixes_overlap_nowhere_and_cover_all(prefixes: list[bytes]) -> None:
    least = least_prefixes(prefixes)

    assert all(any(prefix.startswith(each) for each in least) for prefix in prefixes)
    assert [a for a in least for b in least if a is not b and a.startswith(b)] == []


def test_without_servers_no_change_is_told() -> None:
    told: list[bool] = []
    tracking = Tracking(
        [b"a"], StoreSettings(url="redis://a"), on_changed=lambda _: None, on_told=told.append, random=lambda: 0.0
    )
    tracking.follow([])

    assert told == [False]
