-- What happened lately that somebody should know of?
--
-- :level  info, warning or error: this and what is worse; warning if not given
-- :rows   how many events; 20 if not given
SELECT datetime(e.at, 'unixepoch') AS utc, e.level, e.kind, c.step, e.message
FROM events e LEFT JOIN checkpoints c ON c.id = e.checkpoint_id
WHERE instr('info warning error', e.level) >= instr('info warning error', coalesce(:level, 'warning'))
ORDER BY e.id DESC
LIMIT coalesce(:rows, 20);
