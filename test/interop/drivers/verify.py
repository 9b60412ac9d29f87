"""Answers each token on the standard input with what the guide's code makes of it."""
import json
import sys

import jwt

import cardea_tokens

for line in sys.stdin:
    try:
        claims, kid = cardea_tokens.verify(json.loads(line)["token"])
        answer = {"claims": claims, "kid": kid}
    except cardea_tokens.KeysUnavailable:
        answer = {"unavailable": True}
    except jwt.PyJWTError as error:
        answer = {"refused": f"{type(error).__name__} {error}"}
    print(json.dumps(answer), flush=True)
