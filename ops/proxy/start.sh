#!/bin/sh
# Runs nginx, and passes its error log on to standard error without query strings, where clients put what nobody should
# read. nginx itself always quotes the whole request there.
#     start.sh nginx -g 'daemon off;'
set -eu
folder=$(mktemp -d)
mkfifo -m 600 "$folder/errors"
# Opening it waits for nginx. mawk reads line by line only if it is interactive; other kinds of awk do so anyway.
(
    exec <"$folder/errors"
    rm -r "$folder"
    exec awk -W interactive '{ gsub(/\?[^ "]*/, "?..."); print; fflush() }' >&2
) &
exec "$@" 2>"$folder/errors"
