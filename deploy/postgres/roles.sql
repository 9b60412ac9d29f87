-- Why: one role owns the tables and is used for migrations only, another one serves requests and can change no schema. So whoever breaks
-- into the service cannot drop a table, rewrite the audit trail or give themselves rights; migrations/privileges.sql grants the rest.
-- psql runs this once, when the database cluster is new, and takes the passwords from the files that the container has.

\set owner_password `cat /run/secrets/cardea_owner_password`
\set app_password `cat /run/secrets/cardea_app_password`

CREATE ROLE cardea_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'owner_password';
CREATE ROLE cardea_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'app_password';
CREATE DATABASE cardea OWNER cardea_owner;
REVOKE ALL ON DATABASE cardea FROM PUBLIC;
GRANT CONNECT ON DATABASE cardea TO cardea_app;
