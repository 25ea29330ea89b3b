-- What the client said about itself and its user, as a JSON object; NULL if nothing. It is no JSON column, because MySQL
-- rewrites what is put into one.
ALTER TABLE images ADD COLUMN sender TEXT NULL;
