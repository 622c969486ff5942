"""One address may have so many connections, and none is forgotten or counted twice."""

from __future__ import annotations

from gateway.edge.connection_limit import PerAddress


def test_the_one_beyond_the_limit_is_refused_until_another_leaves() -> None:
    places = PerAddress(2)
    came = [places.enters("192.0.2.1") for _ in range(3)]
    places.left("192.0.2.1")

    assert came == [True, True, False]
    assert [places.enters("192.0.2.1") for _ in range(2)] == [True, False]


def test_addresses_have_their_own_places() -> None:
    places = PerAddress(1)
    places.enters("192.0.2.1")

    assert places.enters("192.0.2.2")


def test_one_network_of_ipv6_is_one_address_and_so_is_each_port_of_ipv4() -> None:
    places = PerAddress(1)

    assert places.enters("2001:db8::1")
    assert not places.enters("ipv6:%5B2001:db8::2%5D:443")
    assert places.enters("192.0.2.1")
    assert not places.enters("ipv4:192.0.2.1:1000")


def test_nothing_is_kept_of_those_who_have_left() -> None:
    places = PerAddress(3)
    for i in range(100):
        places.enters(f"192.0.2.{i}")
        places.left(f"192.0.2.{i}")

    assert places._open == {}


def test_without_a_limit_nothing_is_counted() -> None:
    places = PerAddress(0)

    assert all(places.enters("192.0.2.1") for _ in range(100))
    assert places._open == {}
