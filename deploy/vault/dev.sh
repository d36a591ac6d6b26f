#!/bin/sh
# A development server of Vault's API, by OpenBao, with all that cdcd asks of it: a secret, logins of
# PostgreSQL that it leases, and an AppRole that may read both. It keeps nothing and is made anew at
# each start. Everybody may know its tokens: it is for compose.yaml on a machine of your own.
set -eu

port=${VAULT_LISTEN_PORT:-8200}
export BAO_ADDR="http://127.0.0.1:$port" BAO_TOKEN="$VAULT_ROOT_TOKEN"

bao server -dev -dev-no-store-token -dev-root-token-id="$BAO_TOKEN" \
    -dev-listen-address="${VAULT_LISTEN_HOST:-0.0.0.0}:$port" &
server=$!
# The script ends after its server, so that whoever starts it again finds the port free.
trap 'kill "$server" 2>/dev/null && wait "$server" || true' EXIT
trap 'exit 143' TERM INT

until bao status >/dev/null 2>&1; do
    kill -0 "$server" # it ends the script when the server is gone
    sleep 0.2
done

bao secrets enable database
bao write database/config/warehouse \
    plugin_name=postgresql-database-plugin \
    allowed_roles=cdcd \
    connection_url="postgresql://{{username}}:{{password}}@$POSTGRES_ADDRESS?sslmode=disable" \
    username="$POSTGRES_USER" \
    password="$POSTGRES_PASSWORD"
# What a login makes is the role's: a login that owned something could not be dropped.
bao write database/roles/cdcd \
    db_name=warehouse \
    creation_statements="CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'" \
    creation_statements="GRANT ${POSTGRES_ROLE:-cdcd} TO \"{{name}}\"" \
    creation_statements="ALTER ROLE \"{{name}}\" SET role = ${POSTGRES_ROLE:-cdcd}" \
    revocation_statements="DROP ROLE IF EXISTS \"{{name}}\"" \
    default_ttl=1h \
    max_ttl=24h

bao policy write cdcd - <<'POLICY'
path "secret/data/cdcd"    { capabilities = ["read"] }
path "database/creds/cdcd" { capabilities = ["read"] }
POLICY
bao auth enable approle
bao write auth/approle/role/cdcd token_policies=cdcd token_ttl=1h
bao write auth/approle/role/cdcd/custom-secret-id secret_id="$VAULT_SECRET_ID"
bao write auth/approle/role/cdcd/role-id role_id=cdcd
# Last, because the health check looks for it.
bao kv put -mount=secret cdcd masking_key="$MASKING_KEY"

wait "$server"
