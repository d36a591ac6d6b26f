# Topics and roles of one pipeline, for brokers and databases on which cdcd may make neither. The
# topics are those that cdcd would make itself; it compares their settings when it starts.

resource "kafka_topic" "lanes" {
  name               = "${var.name}.cdcd.lanes"
  partitions         = var.lanes
  replication_factor = var.replication_factor

  config = {
    "cleanup.policy"            = "compact"
    "min.insync.replicas"       = var.min_insync_replicas
    "segment.bytes"             = 1048576
    "min.cleanable.dirty.ratio" = 0.1
  }

  # The pipeline's positions: without them everything that the logs keep is published again.
  lifecycle {
    prevent_destroy = true
  }
}

resource "kafka_topic" "changes" {
  for_each = var.tables

  name               = "${var.name}.${each.value}"
  partitions         = var.partitions
  replication_factor = var.replication_factor

  config = {
    "cleanup.policy"      = "delete"
    "retention.ms"        = var.retention_hours * 3600000
    "max.message.bytes"   = 10485760
    "min.insync.replicas" = var.min_insync_replicas
  }
}

resource "kafka_topic" "dead_letters" {
  name               = "${var.name}.cdcd.dlq"
  partitions         = var.partitions
  replication_factor = var.replication_factor

  config = {
    "cleanup.policy"      = "delete"
    "retention.ms"        = var.retention_hours * 3600000
    "max.message.bytes"   = 10551296
    "min.insync.replicas" = var.min_insync_replicas
  }
}

resource "postgresql_role" "owner" {
  name  = var.role
  login = false
}

resource "postgresql_schema" "own" {
  name     = "cdcd"
  database = var.database
  owner    = postgresql_role.owner.name
}

resource "postgresql_schema" "target" {
  name     = var.target_schema
  database = var.database
  owner    = postgresql_role.owner.name
}

resource "postgresql_grant" "use" {
  for_each = var.readers

  database    = var.database
  schema      = postgresql_schema.target.name
  role        = each.value
  object_type = "schema"
  privileges  = ["USAGE"]
}

# For the tables that cdcd makes later.
resource "postgresql_default_privileges" "read" {
  for_each = var.readers

  database    = var.database
  schema      = postgresql_schema.target.name
  owner       = postgresql_role.owner.name
  role        = each.value
  object_type = "table"
  privileges  = ["SELECT"]
}
