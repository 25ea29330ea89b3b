-- Creates PixyProxy's database and its user on MySQL 8 and later or MariaDB 10.11 and later. As an administrator of the
-- server, with the options by which you log in:
--
--     mysql --user=root --password < sql/create_database.sql
--
-- (MariaDB's client is called `mariadb`.) The user is created locked and without a password, so nobody can log in as it
-- until you give it a password of your own making:
--
--     ALTER USER 'pixyproxy'@'%' IDENTIFIED BY '…' ACCOUNT UNLOCK;
--
-- Then set PIXYPROXY_DATABASE_URL=mysql://pixyproxy:…@host:3306/pixyproxy and run `pixyproxy db upgrade`, which creates
-- the tables. '%' lets PixyProxy run on any host: put its address there if you know it. Running this twice changes
-- nothing.

CREATE DATABASE IF NOT EXISTS pixyproxy CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE USER IF NOT EXISTS 'pixyproxy'@'%' ACCOUNT LOCK;

-- What the service does.
GRANT SELECT, INSERT, UPDATE, DELETE ON pixyproxy.* TO 'pixyproxy'@'%';

-- What `pixyproxy db upgrade` does: it creates and alters tables, their indexes and their references, and drops none.
-- Leave this out, or revoke it, if you run `pixyproxy db upgrade` as another user than the service.
GRANT CREATE, ALTER, INDEX, REFERENCES ON pixyproxy.* TO 'pixyproxy'@'%';
