"""Verifies each token on the standard input, then asks Redis about it, with the code of the guides: its module is the argument."""
import importlib
import json
import sys

import redis

import cardea_tokens

guide = importlib.import_module(sys.argv[1])

for line in sys.stdin:
    claims, kid = cardea_tokens.verify(json.loads(line)["token"])
    try:
        answer = {"revoked": guide.is_revoked(claims, kid)}
    except (redis.RedisError, redis.exceptions.RedisClusterException) as error:
        answer = {"unknown": type(error).__name__}
    print(json.dumps(answer), flush=True)
