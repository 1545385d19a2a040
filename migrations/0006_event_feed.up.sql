-- Where each event stands among those of all tasks, so that a feed can go on where it stopped.
SET lock_timeout = '5s';

-- The id of the transaction that wrote it. Transactions commit in another order than that of
-- their ids, so an event is told only when every lower id has ended: below pg_snapshot_xmin().
-- 0: from before there was a feed; never told. A constant, so that no row is rewritten.
ALTER TABLE task_events ADD COLUMN position bigint NOT NULL DEFAULT 0;
ALTER TABLE task_events
    ALTER COLUMN position SET DEFAULT pg_current_xact_id()::text::bigint;

-- A commit's events share one position, so this index holds lists and stays small; it only
-- grows at its end.
CREATE INDEX task_events_position ON task_events (position);
