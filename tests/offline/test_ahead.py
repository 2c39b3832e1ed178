"""An iterator that runs ahead gives the same items, one step ahead, and its errors."""

from __future__ import annotations

import threading

import pytest

from offline.ahead import ahead


def test_items_come_in_order():
    assert list(ahead(iter(range(5)))) == list(range(5))
    assert list(ahead(iter(()))) == []


def test_the_next_item_is_made_while_one_is_used():
    made = threading.Event()

    def items():
        yield 0
        made.set()
        yield 1

    running = ahead(items())
    assert next(running) == 0
    assert made.wait(10.0)
    assert list(running) == [1]


def test_an_error_is_raised_in_its_place():
    def items():
        yield 0
        raise OSError("disk gone")

    running = ahead(items())
    assert next(running) == 0
    with pytest.raises(OSError, match="disk gone"):
        next(running)


def test_who_stops_early_leaves_no_thread():
    before = threading.active_count()
    running = ahead(iter(range(5)))
    next(running)
    running.close()
    assert threading.active_count() == before
