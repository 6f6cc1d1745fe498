-- How busy, full, hot and held back was each device?
--
-- :minutes  of the last so many minutes that are known; 60 if not given
WITH RECURSIVE devices(gpu_uuid) AS (
    SELECT min(gpu_uuid) FROM gpu_minutes
    UNION ALL
    SELECT (SELECT min(m.gpu_uuid) FROM gpu_minutes m WHERE m.gpu_uuid > devices.gpu_uuid)
    FROM devices WHERE gpu_uuid IS NOT NULL
), latest AS (
    SELECT max((SELECT max(m.bucket) FROM gpu_minutes m WHERE m.gpu_uuid = devices.gpu_uuid)) AS bucket
    FROM devices
)
SELECT m.host, m.gpu_uuid, count(*) AS minutes,
       round(avg(m.utilisation_mean), 1) AS utilisation_percent,
       round(max(m.memory_used_max) / 1073741824.0, 2) AS memory_gib,
       round(avg(m.power_w_mean), 1) AS power_w, round(max(m.temperature_c_max), 1) AS hottest_c,
       round(avg(m.sm_clock_mhz_mean)) AS clock_mhz,
       round(100 * avg(m.throttled), 1) AS held_back_percent,
       max(m.other_processes_max) AS other_processes
FROM latest
CROSS JOIN devices
CROSS JOIN gpu_minutes m ON m.gpu_uuid = devices.gpu_uuid
     AND m.bucket > latest.bucket - coalesce(:minutes, 60)
GROUP BY m.host, m.gpu_uuid
ORDER BY m.host, m.gpu_uuid;
