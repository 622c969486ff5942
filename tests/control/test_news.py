"""What somebody has come upon is told once to who follows."""

from __future__ import annotations

from gateway.control.news import News


def test_what_is_seen_first_is_no_news() -> None:
    news = News()
    news.of_state("a")

    assert not news.taken()


def test_what_is_seen_again_is_no_news() -> None:
    news = News()
    for state in ("a", "b"):
        news.of_state(state)
    first = news.taken()
    news.of_state("b")

    assert (first, news.taken()) == (True, False)


def test_news_that_was_taken_is_there_no_more() -> None:
    news = News()
    for state in ("a", "b", "c"):
        news.of_state(state)
    before = news.is_there
    news.taken()

    assert (before, news.is_there, news.taken()) == (True, False, False)
