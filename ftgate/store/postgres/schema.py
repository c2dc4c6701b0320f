"""The tables on PostgreSQL: those of SQLite under the same names (store.schema), and what several gateways need beside.

Units, ids and times are bigint, flags 0 or 1, texts are compared byte by byte as SQLite does. What is only here:

- `head`: one row, locked by whoever takes a turn. `seq` counts the turns that changed something. Nothing is decided
  without this lock, so all gateways' decisions stand in one order, and no two wait for each other.
- `changes`: what each turn changed, for the memories of the other gateways; kept for a while (store.postgres.notes).
- `boots`: processes. Of those of one gateway only one has not ended. `mark` is the last turn it wrote, `seen_at` when.
- `holds`: the open ones alone, with the boot that took them: holds of ended boots expire.
- `spent.held`: what a key's open holds set aside of its quota.
- `touched`: rows of users, keys and so on that a turn changed, noted by triggers, so that no change can be missed.
- `secrets`, `meta`: the server's key, which is one for all gateways; the schema's number, and which cluster this is.
"""

from ftgate.core.payments import STATUSES

VERSION = 1
"""Of this schema; beside it stands the number of SQLite's whose tables these are."""

_COUNTS = (
    "requests bigint NOT NULL, prompt_tokens bigint NOT NULL, cached_tokens bigint NOT NULL, completion_tokens bigint"
    " NOT NULL, cost_upper bigint NOT NULL, cost_lower bigint NOT NULL"
)

TABLES = f"""
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE meta (name text COLLATE "C" PRIMARY KEY, value text COLLATE "C" NOT NULL);
CREATE TABLE secrets (name text COLLATE "C" PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE head (id bigint PRIMARY KEY CHECK (id = 1), seq bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO head VALUES (1, 0);
CREATE TABLE changes (
  seq bigint PRIMARY KEY, boot bigint NOT NULL, at_us bigint NOT NULL, note text COLLATE "C" NOT NULL
);
CREATE INDEX changes_by_time ON changes (at_us);
CREATE TABLE touched (
  seq bigint NOT NULL, what text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, PRIMARY KEY (seq, what, id)
);
CREATE TABLE boots (
  id bigint PRIMARY KEY, at_us bigint NOT NULL, version text COLLATE "C" NOT NULL,
  gateway text COLLATE "C" NOT NULL DEFAULT '', config text COLLATE "C" NOT NULL DEFAULT '',
  ended bigint NOT NULL DEFAULT 0, mark bigint NOT NULL DEFAULT 0,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX boots_one ON boots (gateway) WHERE ended = 0;
CREATE TABLE users (
  id bigint PRIMARY KEY, username text COLLATE nocase NOT NULL UNIQUE, display_name text COLLATE "C" NOT NULL
  DEFAULT '', email text COLLATE "C" NOT NULL DEFAULT '', password text COLLATE "C" NOT NULL DEFAULT '',
  role text COLLATE "C" NOT NULL, status text COLLATE "C" NOT NULL, plan text COLLATE "C" NOT NULL,
  mode text COLLATE "C" NOT NULL DEFAULT '', invite_code text COLLATE "C" NOT NULL DEFAULT '',
  created_at_us bigint NOT NULL, invited_by bigint, generation bigint NOT NULL DEFAULT 0, last_login_at_us bigint
);
CREATE TABLE keys (
  id bigint PRIMARY KEY, account bigint NOT NULL REFERENCES users (id), name text COLLATE "C" NOT NULL,
  prefix text COLLATE "C" NOT NULL, hash bytea NOT NULL UNIQUE, status text COLLATE "C" NOT NULL,
  models text COLLATE "C" NOT NULL DEFAULT '[]', quota bigint, expires_at_us bigint, created_at_us bigint NOT NULL,
  plan text COLLATE "C" NOT NULL DEFAULT '', quota_reset text COLLATE "C" NOT NULL DEFAULT 'none',
  window_us bigint NOT NULL DEFAULT 0, window_used bigint NOT NULL DEFAULT 0,
  allowed_ips text COLLATE "C" NOT NULL DEFAULT '[]', last_used_at_us bigint
);
CREATE TABLE entries (
  id bigint PRIMARY KEY, kind text COLLATE "C" NOT NULL, account bigint NOT NULL, key bigint NOT NULL,
  debit text COLLATE "C" NOT NULL, credit text COLLATE "C" NOT NULL, amount bigint NOT NULL CHECK (amount >= 0),
  hold bigint NOT NULL DEFAULT 0, ref text COLLATE "C" NOT NULL, estimate bigint NOT NULL DEFAULT 0,
  at_us bigint NOT NULL, note text COLLATE "C" NOT NULL DEFAULT '', boot bigint NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX entries_one_end ON entries (hold) WHERE kind IN ('post', 'void', 'expire');
CREATE INDEX entries_past_hold ON entries (hold) WHERE kind IN ('overrun', 'loss');
CREATE UNIQUE INDEX entries_one_ref ON entries (kind, ref) WHERE kind IN ('hold', 'grant', 'topup', 'refund',
  'correct');
CREATE INDEX entries_by_account ON entries (account, id);
CREATE INDEX entries_moved ON entries (id) WHERE kind IN ('grant', 'topup', 'refund', 'correct');
CREATE INDEX entries_seldom ON entries (kind, id) WHERE kind NOT IN ('hold', 'post');
CREATE TABLE balances (
  account bigint PRIMARY KEY, posted bigint NOT NULL, held bigint NOT NULL CHECK (held >= 0), used bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE spent (
  key bigint PRIMARY KEY, used bigint NOT NULL, held bigint NOT NULL DEFAULT 0 CHECK (held >= 0)
) WITH (fillfactor = 50);
CREATE TABLE holds (
  id bigint PRIMARY KEY, boot bigint NOT NULL, account bigint NOT NULL, key bigint NOT NULL, amount bigint NOT NULL,
  quota_held bigint NOT NULL, metered bigint NOT NULL, ref text COLLATE "C" NOT NULL, unlimited bigint NOT NULL,
  estimate bigint NOT NULL, at_us bigint NOT NULL, note text COLLATE "C" NOT NULL
);
CREATE INDEX holds_of ON holds (boot);
CREATE TABLE requests (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, request_id text COLLATE "C" NOT NULL UNIQUE,
  created_at_us bigint NOT NULL, account bigint NOT NULL, key bigint NOT NULL, model text COLLATE "C" NOT NULL,
  served_model text COLLATE "C" NOT NULL, provider text COLLATE "C" NOT NULL, channel text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL, http_status bigint NOT NULL, error_code text COLLATE "C" NOT NULL,
  mode text COLLATE "C" NOT NULL, prompt_tokens bigint NOT NULL, cached_tokens bigint NOT NULL,
  cache_write_tokens bigint NOT NULL, completion_tokens bigint NOT NULL, reasoning_tokens bigint NOT NULL,
  cost bigint NOT NULL, lost bigint NOT NULL, estimated bigint NOT NULL, latency_ms bigint NOT NULL,
  first_token_ms bigint, attempts bigint NOT NULL, stream bigint NOT NULL, hold bigint NOT NULL,
  price text COLLATE "C" NOT NULL, route text COLLATE "C" NOT NULL DEFAULT '',
  client_dialect text COLLATE "C" NOT NULL DEFAULT '', channel_dialect text COLLATE "C" NOT NULL DEFAULT '',
  multiplier text COLLATE "C" NOT NULL DEFAULT '', cache_write_1h_tokens bigint NOT NULL DEFAULT 0,
  earlier text COLLATE "C" NOT NULL DEFAULT '', remark text COLLATE "C" NOT NULL DEFAULT '',
  tries text COLLATE "C" NOT NULL DEFAULT '', kind bigint NOT NULL DEFAULT 0,
  upstream_id text COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX requests_by_kind ON requests (kind, id);
CREATE INDEX requests_by_time ON requests (kind, created_at_us, id);
CREATE TABLE kinds (
  id bigint PRIMARY KEY, account bigint NOT NULL, key bigint NOT NULL, model text COLLATE "C" NOT NULL,
  served_model text COLLATE "C" NOT NULL, channel text COLLATE "C" NOT NULL, mode text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL, http_status bigint NOT NULL, requests bigint NOT NULL,
  pruned bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX kinds_by_account ON kinds (account);
CREATE TABLE usage_quarters (
  account bigint NOT NULL, quarter bigint NOT NULL, model text COLLATE "C" NOT NULL, {_COUNTS},
  PRIMARY KEY (account, quarter, model)
) WITH (fillfactor = 50);
CREATE TABLE pruned_quarters (
  account bigint NOT NULL, quarter bigint NOT NULL, model text COLLATE "C" NOT NULL, {_COUNTS},
  PRIMARY KEY (account, quarter, model)
);
CREATE TABLE pruned_months (
  account bigint NOT NULL, month text COLLATE "C" NOT NULL, tokens bigint NOT NULL, PRIMARY KEY (account, month)
);
CREATE TABLE pruned (id bigint PRIMARY KEY CHECK (id = 1), held bigint NOT NULL, last_hold bigint NOT NULL);
INSERT INTO pruned VALUES (1, 0, 0);
CREATE TABLE ratios (
  kind text COLLATE "C" NOT NULL, model text COLLATE "C" NOT NULL, milli bigint NOT NULL, PRIMARY KEY (kind, model)
);
CREATE TABLE checkpoints (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, last_id bigint NOT NULL, at_us bigint NOT NULL,
  state text COLLATE "C" NOT NULL
);
CREATE TABLE byok_months (
  account bigint NOT NULL, month text COLLATE "C" NOT NULL, tokens bigint NOT NULL CHECK (tokens >= 0),
  PRIMARY KEY (account, month)
);
CREATE TABLE sessions (
  id bytea PRIMARY KEY, account bigint NOT NULL, created_at_us bigint NOT NULL, seen_at_us bigint NOT NULL
);
CREATE TABLE ended_tokens (id text COLLATE "C" PRIMARY KEY, until_s bigint NOT NULL);
CREATE TABLE logins (
  account bigint NOT NULL, address text COLLATE "C" NOT NULL, at_us bigint NOT NULL, PRIMARY KEY (account, address)
);
CREATE TABLE plan_ids (id bigint PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE);
INSERT INTO plan_ids VALUES (1, 'default');
CREATE TABLE switches (channel text COLLATE "C" PRIMARY KEY, enabled bigint NOT NULL);
CREATE TABLE byok_keys (
  id bigint PRIMARY KEY, account bigint NOT NULL, provider text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
  fingerprint text COLLATE "C" NOT NULL, created_at_us bigint NOT NULL, checked_at_us bigint NOT NULL,
  UNIQUE (account, provider, fingerprint)
);
CREATE TABLE audit (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, at_us bigint NOT NULL, actor bigint,
  actor_name text COLLATE "C" NOT NULL, via text COLLATE "C" NOT NULL, address text COLLATE "C" NOT NULL,
  action text COLLATE "C" NOT NULL, target text COLLATE "C" NOT NULL, before text COLLATE "C" NOT NULL,
  after text COLLATE "C" NOT NULL, request_id text COLLATE "C" NOT NULL
);
CREATE INDEX audit_by_target ON audit (target, id);
CREATE INDEX audit_by_actor ON audit (actor, id);
CREATE INDEX audit_by_name ON audit (actor_name COLLATE nocase, id);
CREATE INDEX audit_by_action ON audit (action, id);
CREATE TABLE spending (
  id bigint PRIMARY KEY CHECK (id = 1), begins_us bigint NOT NULL, last_id bigint NOT NULL,
  units text COLLATE "C" NOT NULL
);
CREATE TABLE payments (
  number bigint PRIMARY KEY, id text COLLATE "C" NOT NULL UNIQUE, account bigint NOT NULL,
  amount bigint NOT NULL CHECK (amount > 0), currency text COLLATE "C" NOT NULL, livemode bigint NOT NULL,
  created_at_us bigint NOT NULL, expires_at_us bigint NOT NULL, success_url text COLLATE "C" NOT NULL,
  cancel_url text COLLATE "C" NOT NULL, request text COLLATE "C" NOT NULL, status text COLLATE "C" NOT NULL
  CHECK (status IN ('{"', '".join(STATUSES)}')),
  session text COLLATE "C" NOT NULL, url text COLLATE "C" NOT NULL, intent text COLLATE "C" NOT NULL,
  charge text COLLATE "C" NOT NULL, credited bigint NOT NULL CHECK (credited IN (0, amount)),
  refunded bigint NOT NULL, disputed bigint NOT NULL, taken bigint NOT NULL CHECK (taken BETWEEN 0 AND credited),
  moves bigint NOT NULL, paid_at_us bigint, receipt_url text COLLATE "C" NOT NULL, reason text COLLATE "C" NOT NULL,
  resolved text COLLATE "C" NOT NULL
);
"""  # noqa: S608 - words of ours
"""Columns and checks as store.schema has them; a test holds the two against each other."""

_KEY_CHANGES = (
    "account, name, prefix, hash, status, models, quota, expires_at_us, created_at_us, plan, quota_reset, window_us,"
    " window_used, allowed_ips"
)
"""All but when it was used last, which the notes tell: each gateway writes that of thousands of keys at once."""
_FOLLOWED = {
    "users": "id", "keys": "id", "sessions": "encode(of.id, 'hex')", "ended_tokens": "id", "logins": "account",
    "plan_ids": "id", "switches": "channel", "byok_keys": "id", "payments": "id",
}  # fmt: skip
"""Tables that stand in every gateway's memory, and what names a row of each."""


def _function(name: str, body: str) -> str:
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;\n"


def _followed(table: str, id: str) -> str:
    """What notes each changed row of a table, under the number that the turn will have."""
    named = id if "(" in id else f"of.{id}::text"
    body = (
        "DECLARE of record; BEGIN IF TG_OP = 'DELETE' THEN of := OLD; ELSE of := NEW; END IF;"  # noqa: S608 - as above
        f" INSERT INTO touched SELECT seq + 1, '{table}', {named} FROM head ON CONFLICT DO NOTHING; RETURN NULL; END"
    )
    changes = "UPDATE" if table != "keys" else f"UPDATE OF {_KEY_CHANGES}"
    return (
        f"CREATE FUNCTION {table}_touched() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$;\n"
        f"CREATE TRIGGER {table}_touched AFTER INSERT OR {changes} OR DELETE ON {table} FOR EACH ROW"
        f" EXECUTE FUNCTION {table}_touched();\n"
    )


_KEPT = _function("kept_for_ever", "RAISE EXCEPTION '% is never updated and never deleted', TG_TABLE_NAME;") + "".join(
    f"CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} EXECUTE FUNCTION kept_for_ever();\n"
    for table in ("entries", "audit")
)
"""Entries and the audit are only ever added to."""

_WORDS = """
CREATE FUNCTION instr(text, text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT strpos($1, $2)';
CREATE FUNCTION max(bigint, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  'SELECT CASE WHEN $1 >= $2 THEN $1 WHEN $1 < $2 THEN $2 END';
CREATE FUNCTION strftime(form text, at_s bigint, what text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN
  IF (form, what) <> ('%Y-%m', 'unixepoch') THEN RAISE EXCEPTION 'strftime knows months alone'; END IF;
  RETURN to_char(to_timestamp(at_s) AT TIME ZONE 'UTC', 'YYYY-MM');
END $$;
CREATE FUNCTION listed(text) RETURNS TABLE (value bigint) LANGUAGE sql IMMUTABLE ROWS 50 AS
  'SELECT one::bigint FROM json_array_elements_text($1::json) AS one';
CREATE FUNCTION json_replace(said text, VARIADIC parts text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || coalesce(
    (SELECT parts[at + 1] FROM generate_subscripts(parts, 1) AS at WHERE at % 2 = 1 AND parts[at] = '$.' || key),
    value::text), ',' ORDER BY place), '') || '}'
  FROM json_each(said::json) WITH ORDINALITY AS of (key, value, place)
$$;
"""
"""What SQLite's words mean that PostgreSQL does not know, as far as ftgate says them. listed() is json_each() of whole
numbers; json_replace() is of an object, and the values are JSON."""

SCRIPT = TABLES + _WORDS + _KEPT + "".join(_followed(table, id) for table, id in _FOLLOWED.items())
"""Makes the whole schema, in one transaction."""
