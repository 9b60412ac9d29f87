"""Follows the feed with the guide's replica, and judges each token on the standard input by it. Arguments: address, id, secret."""
import json
import sys

import cardea_replica
import cardea_tokens

replica = cardea_replica.Replica(*sys.argv[1:])
replica.start()
for line in sys.stdin:
    claims, kid = cardea_tokens.verify(json.loads(line)["token"])
    try:
        answer = {"revoked": replica.is_revoked(claims, kid)}
    except cardea_replica.StateUnknown:
        answer = {"unknown": repr(replica.error)}
    print(json.dumps(answer), flush=True)
