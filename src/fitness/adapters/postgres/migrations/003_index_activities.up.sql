CREATE INDEX activities_newest ON activities (user_id, activity_date DESC, id DESC);

CREATE UNIQUE INDEX activities_origin ON activities (user_id, source, external_id)
WHERE external_id IS NOT NULL;
