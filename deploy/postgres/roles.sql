-- Run once, when the data are made. Role cdcd owns what replication makes; nobody logs in as it:
-- Vault lends logins that act as it.
CREATE ROLE cdcd NOLOGIN;
ALTER DATABASE warehouse OWNER TO cdcd;
