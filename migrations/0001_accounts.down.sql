SET lock_timeout = '5s';

DROP TABLE refresh_tokens;
DROP TABLE token_families;
DROP TABLE users;
