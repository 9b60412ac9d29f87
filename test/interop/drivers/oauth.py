"""Does with requests-oauthlib what each line of the standard input asks for."""
import json
import os
import sys

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # Cardea is on this machine

from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from requests_oauthlib import OAuth2Session


def service(issuer, id, secret, scope, place, **_):
    """A token for a service. The secret is in the header, which is the library's default, or in the body."""
    session = OAuth2Session(client=BackendApplicationClient(id, scope=scope.split()))
    in_body = {"include_client_id": True} if place == "body" else {}
    return session.fetch_token(f"{issuer}/oauth/token", client_id=id, client_secret=secret, **in_body)


def app(issuer, id, refreshToken, url, **_):
    """The token has expired, so the session refreshes by itself when it is used."""
    kept = {}
    session = OAuth2Session(
        id,
        token={"access_token": "expired", "refresh_token": refreshToken, "expires_in": -30},
        auto_refresh_url=f"{issuer}/oauth/token",
        auto_refresh_kwargs={"client_id": id},
        token_updater=kept.update,
    )
    return {**kept, "status": session.get(url).status_code, **kept}


for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = {"service": service, "app": app}[question["do"]](**question)
    except OAuth2Error as error:
        answer = {"error": error.error}
    print(json.dumps(answer), flush=True)
