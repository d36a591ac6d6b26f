variable "name" {
  description = "The pipeline: `name` in cdcd.toml."
  type        = string
  default     = "cdcd"
}

variable "tables" {
  description = "Tables to replicate, as keyspace.table. Globs are for cdcd alone: a topic has a name."
  type        = set(string)
}

variable "lanes" {
  description = "Slices of the ring, as `lanes` in cdcd.toml; fixed when the pipeline is made."
  type        = number
  default     = 16
}

variable "partitions" {
  description = "Partitions of a table's topic; more let more workers apply one table. Fixed, too."
  type        = number
  default     = 6
}

variable "replication_factor" {
  description = "Copies of each partition."
  type        = number
  default     = 3
}

variable "min_insync_replicas" {
  description = "Copies that must confirm a write."
  type        = number
  default     = 2
}

variable "retention_hours" {
  description = "How long topics keep records; a sink that is away for longer needs a new copy."
  type        = number
  default     = 48
}

variable "database" {
  description = "The database that rows are written to."
  type        = string
  default     = "warehouse"
}

variable "target_schema" {
  description = "The schema that rows are written to: `postgres.target_schema` in cdcd.toml."
  type        = string
  default     = "cdc_data"
}

variable "role" {
  description = "The role that owns what replication makes. Logins that act as it are Vault's, or yours."
  type        = string
  default     = "cdcd"
}

variable "readers" {
  description = "Roles that may read the replicated rows."
  type        = set(string)
  default     = []
}
