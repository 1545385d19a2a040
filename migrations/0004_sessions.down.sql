DROP TABLE auth_events;
DROP FUNCTION refuse_auth_event_change();
DROP INDEX token_families_revoked_at;
