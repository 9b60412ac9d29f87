-- Why: what is refused is decided by the log of revocations alone, here as in every verifier, so nothing may die without an entry.

-- While an instance cannot prove that its copy of the log is complete, each of its checks asks whether the signing key of a token was
-- revoked. There are hardly ever rows of this kind among many of others, so the index is next to nothing.
CREATE INDEX revocations_of_keys ON revocations (key) WHERE kind = 'kid';

-- The service deletes no account; whoever does so by hand takes its access tokens back as well. No epoch is as high as this one. The
-- entry lasts as long as the longest token (900 s), the leeway of clocks and the slack of a mint under way (70 s).
CREATE FUNCTION revoke_deleted_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO revocations (kind, key, min_epoch, not_after, actor, reason, created_at)
  VALUES ('sub', translate(encode(OLD.id, 'base64'), '+/=', '-_'), 9007199254740991,
    now() + interval '970 seconds', 'database', 'account_deleted', now());
  RETURN OLD;
END
$$;

CREATE TRIGGER deleted_accounts_are_revoked AFTER DELETE ON accounts
  FOR EACH ROW EXECUTE FUNCTION revoke_deleted_account();
