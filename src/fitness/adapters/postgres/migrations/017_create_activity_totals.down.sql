DROP TRIGGER activities_totals_of_inserts ON activities;

DROP TRIGGER activities_totals_of_deletes ON activities;

DROP TRIGGER activities_totals_of_updates ON activities;

DROP FUNCTION keep_totals_of_inserts(), keep_totals_of_deletes(), keep_totals_of_updates();

DROP FUNCTION rebuild_activity_totals(bigint, bigint);

DROP VIEW computed_activity_totals;

DROP TABLE activity_totals;

DROP FUNCTION total_starts_on(text, date);
