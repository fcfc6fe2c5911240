#include "services/gateway/schema.h"

namespace slipway::gateway {

// Times are microseconds since 1970.
const std::vector<sql::Migration>& Schema() {
  static const auto* schema = new std::vector<sql::Migration>{
      {.number = 1, .name = "tenants, keys and the feed of their changes", .sql = R"sql(
         CREATE TABLE tenants (
           id TEXT PRIMARY KEY,
           display_name TEXT NOT NULL,
           suspended BIGINT NOT NULL,
           create_time BIGINT NOT NULL,
           request_id TEXT UNIQUE,
           request_hash TEXT NOT NULL);

         -- tenant '' is the operator's.
         CREATE TABLE keys (
           id TEXT PRIMARY KEY,
           tenant TEXT NOT NULL,
           display_name TEXT NOT NULL,
           role BIGINT NOT NULL,
           pepper_version BIGINT NOT NULL,
           mac BYTEA NOT NULL,
           create_time BIGINT NOT NULL,
           expire_time BIGINT,
           revoke_time BIGINT);
         CREATE INDEX keys_by_tenant ON keys (tenant, id);

         -- What each replica reads to keep its table of keys. A change takes its number from the
         -- one row of identity_head, whose lock makes numbers appear in the order of commits: a
         -- sequence would let a later number be seen first, and the earlier change be missed.
         CREATE TABLE identity_head (one BIGINT PRIMARY KEY, sequence BIGINT NOT NULL);
         INSERT INTO identity_head (one, sequence) VALUES (1, 0);
         CREATE TABLE identity_changes (
           sequence BIGINT PRIMARY KEY,
           kind TEXT NOT NULL,
           id TEXT NOT NULL);
       )sql"},
      {.number = 2, .name = "usage and audit", .sql = R"sql(
         -- outcome: 0 pending, 1 answered, 2 broken off by the caller, 3 broken by a kill.
         CREATE TABLE usage_records (
           id TEXT PRIMARY KEY,
           writer TEXT NOT NULL,
           time BIGINT NOT NULL,
           tenant TEXT NOT NULL,
           key_id TEXT NOT NULL,
           kind TEXT NOT NULL,
           resource TEXT NOT NULL,
           model_version TEXT NOT NULL,
           quantity DOUBLE PRECISION NOT NULL,
           request_id TEXT NOT NULL,
           http_code BIGINT NOT NULL,
           outcome BIGINT NOT NULL,
           input_bytes BIGINT NOT NULL,
           output_bytes BIGINT NOT NULL,
           compute_micros BIGINT NOT NULL);
         CREATE INDEX usage_records_by_time ON usage_records (tenant, time, id);
         CREATE INDEX usage_records_pending ON usage_records (writer) WHERE outcome = 0;

         CREATE TABLE audit_records (
           id TEXT PRIMARY KEY,
           writer TEXT NOT NULL,
           time BIGINT NOT NULL,
           tenant TEXT NOT NULL,
           key_id TEXT NOT NULL,
           method TEXT NOT NULL,
           resource TEXT NOT NULL,
           peer_address TEXT NOT NULL,
           request_id TEXT NOT NULL,
           http_code BIGINT NOT NULL);
         CREATE INDEX audit_records_by_time ON audit_records (tenant, time, id);

         -- How far each gateway's journal has come into these tables.
         CREATE TABLE journal_positions (
           writer TEXT PRIMARY KEY,
           segment BIGINT NOT NULL,
           segment_offset BIGINT NOT NULL);
         -- How far each service's outbox has.
         CREATE TABLE usage_cursors (source TEXT PRIMARY KEY, position BIGINT NOT NULL);
       )sql"},
      {.number = 3,
       .name = "projects, restricted and rotated keys, states of tenants",
       .sql = R"sql(
         -- 0 active, 1 suspended, 2 being deleted, 3 deleted: only the row is left.
         ALTER TABLE tenants RENAME COLUMN suspended TO state;

         CREATE TABLE projects (
           tenant TEXT NOT NULL,
           id TEXT NOT NULL,
           display_name TEXT NOT NULL,
           create_time BIGINT NOT NULL,
           archive_time BIGINT,
           PRIMARY KEY (tenant, id));
         INSERT INTO projects (tenant, id, display_name, create_time)
           SELECT id, 'default', '', create_time FROM tenants;

         -- Lists of names and networks are divided by ','.
         ALTER TABLE keys ADD COLUMN project TEXT NOT NULL DEFAULT '';
         UPDATE keys SET project = 'default' WHERE tenant <> '';
         ALTER TABLE keys ADD COLUMN allowed_models TEXT NOT NULL DEFAULT '';
         ALTER TABLE keys ADD COLUMN allowed_networks TEXT NOT NULL DEFAULT '';
         ALTER TABLE keys ADD COLUMN rotate_time BIGINT;
         ALTER TABLE keys ADD COLUMN old_pepper_version BIGINT;
         ALTER TABLE keys ADD COLUMN old_mac BYTEA;
         ALTER TABLE keys ADD COLUMN overlap_end BIGINT;
       )sql"},
      {.number = 4, .name = "deletions of tenants", .sql = R"sql(
         -- body: a TenantDeletion. revision grows with each write of it.
         CREATE TABLE tenant_deletions (
           tenant TEXT PRIMARY KEY,
           revision BIGINT NOT NULL,
           done BIGINT NOT NULL,
           body BYTEA NOT NULL);
       )sql"},
      {.number = 5, .name = "limits, prices and what is used of limits", .sql = R"sql(
         -- subject: tenants/{t} or tenants/{t}/keys/{k}. 0 is no limit; budget is in millionths of
         -- a unit; period: 0 a day, 1 a month. Replicas read what has a number above the last that
         -- they have seen.
         CREATE TABLE limits (
           subject TEXT PRIMARY KEY,
           sequence BIGINT NOT NULL,
           requests BIGINT NOT NULL,
           tokens BIGINT NOT NULL,
           concurrency BIGINT NOT NULL,
           budget BIGINT NOT NULL,
           period BIGINT NOT NULL);
         CREATE INDEX limits_by_sequence ON limits (sequence);
         CREATE TABLE prices (
           id TEXT PRIMARY KEY,
           pattern TEXT NOT NULL,
           request BIGINT NOT NULL,
           compute_second BIGINT NOT NULL,
           input_million BIGINT NOT NULL,
           output_million BIGINT NOT NULL);
         CREATE TABLE limits_head (
           one BIGINT PRIMARY KEY,
           sequence BIGINT NOT NULL,
           prices_sequence BIGINT NOT NULL);
         INSERT INTO limits_head (one, sequence, prices_sequence) VALUES (1, 0, 0);

         -- How much of each limit is used and leased; state is a MeterState. These rows may be lost:
         -- what was spent is read from usage_records again.
         CREATE TABLE limit_meters (
           subject TEXT NOT NULL,
           quantity BIGINT NOT NULL,
           state BYTEA NOT NULL,
           left_for_all BIGINT NOT NULL,
           free_time BIGINT,
           change_time BIGINT NOT NULL,
           PRIMARY KEY (subject, quantity));
         CREATE INDEX limit_meters_by_change ON limit_meters (change_time);
         -- The gateways that share them.
         CREATE TABLE limit_replicas (id TEXT PRIMARY KEY, seen_time BIGINT NOT NULL);

         ALTER TABLE usage_records ADD COLUMN units BIGINT NOT NULL DEFAULT 0;
       )sql"},
      {.number = 6, .name = "usage by the hour, and the audit log's chains", .sql = R"sql(
         ALTER TABLE usage_records ADD COLUMN project TEXT NOT NULL DEFAULT '';
         CREATE INDEX usage_records_by_request ON usage_records (request_id);

         -- What usage_records add up to. Who writes an hour does so alone, so that replicas do not
         -- wait for each other.
         CREATE TABLE usage_hours (
           tenant TEXT NOT NULL,
           hour BIGINT NOT NULL,
           writer TEXT NOT NULL,
           project TEXT NOT NULL,
           key_id TEXT NOT NULL,
           kind TEXT NOT NULL,
           resource TEXT NOT NULL,
           model_version TEXT NOT NULL,
           calls BIGINT NOT NULL,
           quantity DOUBLE PRECISION NOT NULL,
           input_bytes BIGINT NOT NULL,
           output_bytes BIGINT NOT NULL,
           compute_micros BIGINT NOT NULL,
           units BIGINT NOT NULL,
           PRIMARY KEY (tenant, hour, writer, project, key_id, kind, resource, model_version));
         CREATE INDEX usage_hours_of_all ON usage_hours (hour);
         INSERT INTO usage_hours
           SELECT tenant, time - time % 3600000000, writer, project, key_id, kind, resource,
                  model_version, COUNT(*), SUM(quantity), CAST(SUM(input_bytes) AS BIGINT),
                  CAST(SUM(output_bytes) AS BIGINT), CAST(SUM(compute_micros) AS BIGINT), 0
           FROM usage_records
           GROUP BY tenant, time - time % 3600000000, writer, project, key_id, kind, resource,
                    model_version;

         -- Of a refusal: why, and how many times in its minute.
         ALTER TABLE audit_records ADD COLUMN reason TEXT NOT NULL DEFAULT '';
         ALTER TABLE audit_records ADD COLUMN times BIGINT NOT NULL DEFAULT 0;
         CREATE INDEX audit_records_of_all ON audit_records (time, id);
         CREATE INDEX audit_records_by_request ON audit_records (request_id);

         -- Each entry of a journal that is audit's, by the order of its writer. kind: 1 a record,
         -- 2 its outcome. mac covers writer, number, entry and the mac before.
         CREATE TABLE audit_chain (
           writer TEXT NOT NULL,
           number BIGINT NOT NULL,
           record_id TEXT NOT NULL,
           kind BIGINT NOT NULL,
           entry BYTEA NOT NULL,
           key_version BIGINT NOT NULL,
           mac BYTEA NOT NULL,
           PRIMARY KEY (writer, number));
         CREATE UNIQUE INDEX audit_chain_by_record ON audit_chain (record_id, kind);
       )sql"},
      {.number = 7, .name = "batches", .sql = R"sql(
         -- body: the batch as callers see it. A runner that holds it may write until `due` passes
         -- and another raises the fence; one that nobody holds waits for its turn until then.
         CREATE TABLE batches (
           tenant TEXT NOT NULL,
           id TEXT NOT NULL,
           body BYTEA NOT NULL,
           ended BIGINT NOT NULL,
           outcome BIGINT NOT NULL,
           next_line BIGINT NOT NULL,
           next_offset BIGINT NOT NULL,
           stalls BIGINT NOT NULL,
           held BIGINT NOT NULL,
           due BIGINT NOT NULL,
           fence BIGINT NOT NULL,
           PRIMARY KEY (tenant, id));
         CREATE INDEX batches_to_run ON batches (due) WHERE ended = 0;

         -- What has become of the lines of batches that have not ended.
         CREATE TABLE batch_lines (
           batch TEXT NOT NULL,
           line BIGINT NOT NULL,
           done BIGINT NOT NULL,
           failed BIGINT NOT NULL,
           attempts BIGINT NOT NULL,
           result BYTEA NOT NULL,
           PRIMARY KEY (batch, line));
       )sql"},
      {.number = 8, .name = "what callers of fallbacks asked for", .sql = R"sql(
         ALTER TABLE usage_records ADD COLUMN asked_for TEXT NOT NULL DEFAULT '';
       )sql"},
  };
  return *schema;
}

}  // namespace slipway::gateway
