DROP TABLE activity_changes;

DROP TABLE change_counters;
