"""Alerts: facts from the database, events for everybody, a command or a webhook for one."""

from __future__ import annotations

import json
import os
import queue
import shlex
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from ctv_engine.service.events import Tell
from ctv_engine.stats.alerts import Alert, Facts, alerts, drop_alert, straggler_alert
from ctv_engine.store.rows import Mode
from ctv_engine.store.writer import Writer

WEBHOOK_ENV = "CTV_TUI_ALERT_WEBHOOK"
"""Its address is often a secret, so it is in no settings: they are stored with the run."""
TIMEOUT_S = 30.0
HISTORY = 6


_FACTS = """
SELECT c.step, e.mode, r.value, r.change, r.change_low, r.change_high,
       (SELECT max(o.step) FROM ranking o WHERE o.run_id = r.run_id AND o.mode = r.mode
        AND o.window = r.window AND o.step < r.step),
       coalesce(r.n, 0),
       avg(p.option_mass), coalesce(sum(p.finish_reason IN ('length', 'repeat')), 0),
       count(p.finish_reason), e.idle_fraction,
       (SELECT count(*) FROM workers w WHERE w.run_id = c.run_id
        AND w.ready_at < (SELECT max(s.ended_at) FROM spans s WHERE s.evaluation_id = e.id)
        AND (w.ended_at IS NULL OR w.ended_at > (SELECT min(s.started_at) FROM spans s
                                                 WHERE s.evaluation_id = e.id))),
       e.finished_at - c.ready_at,
       c.ready_at - (SELECT max(o.ready_at) FROM checkpoints o
                     WHERE o.run_id = c.run_id AND o.ready_at < c.ready_at)
FROM evaluations e
JOIN checkpoints c ON c.id = e.checkpoint_id
LEFT JOIN ranking r ON r.run_id = c.run_id AND r.mode = e.mode AND r.window = 1 AND r.step = c.step
LEFT JOIN predictions p ON p.evaluation_id = e.id AND p.status = 'ok'
WHERE e.id IN (SELECT o.id FROM evaluations o JOIN checkpoints oc ON oc.id = o.checkpoint_id
               WHERE oc.run_id = ?1 AND o.mode = ?2 AND o.state = 'done' AND oc.step <= ?3
               ORDER BY oc.step DESC, o.id DESC LIMIT ?4)
GROUP BY e.id ORDER BY c.step, e.id
"""


class Alerting:
    """Looks at each evaluation that ends."""

    def __init__(self, writer: Writer, run_id: int, tell: Tell, notifier: Notifier) -> None:
        self._writer, self._run_id = writer, run_id
        self._tell, self._notifier = tell, notifier
        self._unsettled: dict[Mode, tuple[int, int]] = {}

    def look(self, step: int, mode: Mode, checkpoint_id: int) -> None:
        """Store an event for whatever is wrong, and pass it on.

        Who waited for whom is told of the mode's evaluation before, whose balance was written again
        since.
        """
        facts = self._facts(step, mode)
        if facts:
            for alert in alerts(facts[-1], facts[:-1]):
                self._say(alert, checkpoint_id)
        self._look_at_waiting(mode)
        self._unsettled[mode] = step, checkpoint_id

    def look_at_score(self, step: int, mode: Mode, checkpoint_id: int) -> None:
        """The same for a drop, once the ranking with the whole score is written."""
        facts = self._facts(step, mode)
        alert = drop_alert(facts[-1]) if facts else None
        if alert is not None:
            self._say(alert, checkpoint_id)

    def _look_at_waiting(self, mode: Mode) -> None:
        step, checkpoint_id = self._unsettled.get(mode, (0, 0))
        facts = self._facts(step, mode) if checkpoint_id else []
        if facts:
            alert = straggler_alert(facts[-1], facts[-2] if len(facts) > 1 else None)
            if alert is not None:
                self._say(alert, checkpoint_id)
        self._unsettled.pop(mode, None)

    def _facts(self, step: int, mode: Mode) -> list[Facts]:
        """Return a mode's facts up to a step's, oldest first; none if it did not end well."""
        rows = self._writer.query(_FACTS, self._run_id, mode, step, HISTORY)
        facts = [Facts(*row) for row in rows]
        return facts if facts and facts[-1].step == step else []

    def _say(self, alert: Alert, checkpoint_id: int) -> None:
        self._tell("warning", "alert", f"step {alert.step}: {alert.message}", checkpoint_id)
        self._notifier.notify(alert)

    def step(self) -> None:
        """Tell what went wrong while alerts were passed on."""
        for problem in self._notifier.problems():
            self._tell("warning", "alert", problem, None)

    def close(self) -> None:
        """Pass on what is left, and wait for it a moment; the engine's work has ended."""
        with suppress(sqlite3.OperationalError):  # the balance is there for whoever looks
            for mode in tuple(self._unsettled):
                self._look_at_waiting(mode)
        self._notifier.close()


class Notifier:
    """Passes alerts on in a thread of its own, at most one message in so many seconds.

    What comes meanwhile is in the next message. The command gets the message as JSON on its
    standard input and the words of it in ``CTV_ALERT``; the webhook gets the same JSON by POST.
    """

    def __init__(self, run: str, command: str | None, every_s: float) -> None:
        """Start the thread if there is anybody to tell."""
        self._run, self._every_s = run, every_s
        self._command: Sequence[str] = shlex.split(command) if command else ()
        self._webhook = os.environ.get(WEBHOOK_ENV, "").strip()
        self._coming: queue.SimpleQueue[Alert | None] = queue.SimpleQueue()
        self._problems: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._told: set[str] = set()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        if self._command or self._webhook:
            self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
            self._thread.start()

    def notify(self, alert: Alert) -> None:
        """Queue an alert."""
        if self._thread is not None:
            self._coming.put(alert)

    def problems(self) -> list[str]:
        """Return what went wrong since the last call, each kind once."""
        found = []
        while not self._problems.empty():
            found.append(self._problems.get())
        return found

    def close(self) -> None:
        """Send what is queued without waiting for its turn, and end."""
        if self._thread is not None:
            self._ends.set()
            self._coming.put(None)
            self._thread.join(TIMEOUT_S)

    def _work(self) -> None:
        sent_at = -self._every_s
        while True:
            waiting = [self._coming.get()]
            self._ends.wait(max(0.0, sent_at + self._every_s - time.monotonic()))
            while not self._coming.empty():
                waiting.append(self._coming.get())
            found = [alert for alert in waiting if alert is not None]
            if found:
                self._send(found)
                sent_at = time.monotonic()
            if None in waiting:
                return

    def _send(self, found: Sequence[Alert]) -> None:
        words = "\n".join(f"{self._run}, step {one.step}: {one.message}" for one in found)
        body = {"run": self._run, "text": words, "alerts": [asdict(one) for one in found]}
        data = json.dumps(body, ensure_ascii=False).encode()
        if self._command:
            self._call(data, words)
        if self._webhook:
            self._post(data)

    def _call(self, data: bytes, words: str) -> None:
        try:
            done = subprocess.run(
                self._command,
                input=data,
                env={**os.environ, "CTV_ALERT": words},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=TIMEOUT_S,
                check=False,
            )
            if done.returncode:
                last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [""]
                self._fail(f"the alert command ended with status {done.returncode} {last[0]}")
        except subprocess.TimeoutExpired:
            self._fail(f"the alert command took more than {TIMEOUT_S:.0f} s and was ended")
        except (OSError, ValueError) as error:
            self._fail(f"the alert command can't be run: {error}")

    def _post(self, data: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(self._webhook, data, headers)
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                pass
        except urllib.error.HTTPError as error:
            self._fail(f"the webhook in {WEBHOOK_ENV} answered with status {error.code}")
        except (OSError, ValueError) as error:
            # The error may quote the address.
            self._fail(f"the webhook in {WEBHOOK_ENV} can't be reached ({type(error).__name__})")

    def _fail(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            self._problems.put(problem.strip())
