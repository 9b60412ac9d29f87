"""Verifies each token on the standard input, then asks Redis about it, with the code of the guides."""
import json
import sys

import redis

import cardea_redis
import cardea_tokens

for line in sys.stdin:
    claims, kid = cardea_tokens.verify(json.loads(line)["token"])
    try:
        answer = {"revoked": cardea_redis.is_revoked(claims, kid)}
    except redis.RedisError as error:
        answer = {"unknown": type(error).__name__}
    print(json.dumps(answer), flush=True)
