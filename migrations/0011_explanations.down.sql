SET lock_timeout = '5s';

DROP TABLE pod_ends, pool_state;
