DELETE FROM export_parts;

DROP TABLE export_parts;

DROP TABLE exports;
