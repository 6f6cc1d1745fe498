"""Any number of spans becomes a bounded lane that says who did what when."""

from __future__ import annotations

import pytest

from ctv_tui.data.lanes import BINS, Binned


def test_few_spans_stay_as_they_are() -> None:
    binned = Binned()
    binned.add(1, "load", 100.0, 100.4)
    binned.add(1, "prefill", 100.4, 101.0)
    binned.add(1, "decode", 102.0, 103.0)
    segments = binned.segments(1)
    assert [s.kind for s in segments] == ["load", "prefill", "decode"]
    assert [s.start_s for s in segments] == pytest.approx([0.0, 0.4, 2.0], abs=0.03)
    assert [s.end_s for s in segments] == pytest.approx([0.4, 1.0, 3.0], abs=0.03)
    assert binned.end - binned.first == pytest.approx(3.0)


def test_ten_thousand_spans_fit_in_the_bins() -> None:
    binned = Binned()
    for n in range(10_000):
        binned.add(n % 2, "prefill" if n % 4 < 2 else "decode", n * 1.0, n * 1.0 + 0.9)
    assert len(binned.segments(0)) <= BINS
    assert binned.bin_s * BINS >= 10_000 > binned.bin_s * BINS / 2
    assert binned.last_end == {0: 9998.9, 1: 9999.9}


def test_the_kind_that_fills_most_of_a_bin_is_shown() -> None:
    binned = Binned()
    binned.add(1, "decode", 0.0, 1000.0)
    for n in range(100):
        binned.add(2, "input", n * 10.0, n * 10.0 + 1.0)
        binned.add(2, "decode", n * 10.0 + 1.0, n * 10.0 + 9.0)
    kinds = [s.kind for s in binned.segments(2)]
    assert kinds.count("decode") and "prefill" not in kinds


def test_a_span_before_the_first_one_moves_the_start() -> None:
    binned = Binned()
    binned.add(1, "prefill", 100.0, 101.0)
    binned.add(2, "load", 90.0, 95.0)
    (load,) = binned.segments(2)
    (prefill,) = binned.segments(1)
    assert (load.start_s, load.end_s) == pytest.approx((0.0, 5.0), abs=0.1)
    assert (prefill.start_s, prefill.end_s) == pytest.approx((10.0, 11.0), abs=0.1)
