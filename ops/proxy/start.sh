#!/bin/sh
# Runs nginx, and passes its error log on to standard error without query strings, where clients put what nobody should
# read. nginx itself always quotes the whole request there.
#     start.sh nginx -g 'daemon off;'
set -eu
folder=$(mktemp -d)
mkfifo -m 600 "$folder/errors"
# Opening the pipe waits for nginx. mawk reads line by line only with `-W interactive`; other kinds of awk always do.
(
    exec <"$folder/errors"
    rm -r "$folder"
    exec awk -W interactive '{ gsub(/\?[^ "]*/, "?..."); print; fflush() }' >&2
) &
exec "$@" 2>"$folder/errors"
