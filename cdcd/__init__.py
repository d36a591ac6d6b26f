"""cdcd streams ScyllaDB's change log through Kafka into PostgreSQL, exactly once."""

__version__ = "0.1.0"
