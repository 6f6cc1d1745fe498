"""A poller in a process of its own: says what it reads as JSON lines, does what it is told."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict

from ctv_engine.telemetry import poller as module
from ctv_engine.telemetry.poller import Poller


def main() -> None:
    interval_s, slow_s = float(sys.argv[1]), float(sys.argv[2])
    module.PATIENCE_S, module.STALLED_S, module.START_S = map(float, sys.argv[3:6])
    module.NAMING_S = 1.0
    poller = Poller("the-host", interval_s, slow_s)
    say("start", unavailable=poller.unavailable, absent=poller.absent, gpus=poller.gpus)
    say("census", gpus=[asdict(gpu) for gpu in poller.census])
    poller.start()
    ended = threading.Event()
    threading.Thread(target=listen, args=(poller, ended), daemon=True).start()
    while not ended.is_set():
        for sample in poller.drain():
            say("sample", **asdict(sample))
        for news in poller.news():
            say("news", level=news.level, text=news.text)
        time.sleep(0.01)
    before = time.monotonic()
    poller.stop()
    say("stopped", seconds=time.monotonic() - before)


def listen(poller: Poller, ended: threading.Event) -> None:
    for line in sys.stdin:
        word, *values = line.split()
        if word == "watch":
            poller.watch_gpu(int(values[0]), values[1], int(values[2]))
        elif word == "forget":
            poller.forget_process(int(values[0]))
    ended.set()


def say(kind: str, **values: object) -> None:
    print(json.dumps({"kind": kind, **values}), flush=True)


if __name__ == "__main__":
    main()
