DROP INDEX activities_origin;

DROP INDEX activities_newest;
