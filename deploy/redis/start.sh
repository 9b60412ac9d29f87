#!/bin/sh
# Starts Redis with one user, who may touch Cardea's keys with Cardea's commands and nothing else: no FLUSHALL, no CONFIG, no KEYS, no
# other key. What is not in users.acl is refused, so a command that a new version needs is added there
# (test/infra/redis-acl.test.ts fails until it is). users.acl takes no comments, so this is the place for them. `cluster`, `asking` and
# `client setname` are for a Redis Cluster; elsewhere they show or change nothing.
#
# REDIS_PASSWORD_FILE  a file with the password of that user. Redis keeps a digest of it, in memory: users.acl lies on the container's tmpfs.
# $@                   more options of redis-server
set -eu
password=$(cat "${REDIS_PASSWORD_FILE:?must be set}")
: "${password:?must not be empty}"
umask 077
users=${REDIS_USERS_FILE:-/tmp/users.acl}
digest=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
sed "s/PASSWORD_SHA256/$digest/" "$(dirname "$0")/users.acl" >"$users"
# Nothing is written to disk: whatever is lost is filled in again from Postgres. noeviction, because an evicted entry would be a revocation
# that a service which asks Redis no longer sees, and a limit that starts anew; a full Redis refuses writes instead, and Cardea then counts for itself.
exec redis-server --aclfile "$users" --save '' --appendonly no --maxmemory-policy noeviction "$@"
