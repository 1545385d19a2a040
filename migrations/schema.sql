CREATE TYPE public.task_status AS ENUM (
    'PENDING',
    'PROCESSING',
    'COMPLETED',
    'FAILED',
    'CANCELLED'
);
CREATE FUNCTION public.forget_result_object() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO stray_objects (key, delete_at) VALUES (OLD.object_key, now())
    ON CONFLICT (key) DO UPDATE SET delete_at = excluded.delete_at;
    RETURN NULL;
END
$$;
CREATE FUNCTION public.refuse_auth_event_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'auth_events is append-only' USING ERRCODE = 'check_violation',
        CONSTRAINT = 'auth_events_append_only';
END
$$;
CREATE FUNCTION public.refuse_event_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'task_events is append-only' USING ERRCODE = 'check_violation',
        CONSTRAINT = 'task_events_append_only';
END
$$;
CREATE FUNCTION public.refuse_unlawful_move() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (OLD.status, NEW.status) NOT IN (
        ('PENDING', 'PENDING'),
        ('PENDING', 'PROCESSING'),
        ('PENDING', 'CANCELLED'),
        ('PROCESSING', 'PROCESSING'),
        ('PROCESSING', 'COMPLETED'),
        ('PROCESSING', 'FAILED'),
        ('PROCESSING', 'CANCELLED')
    ) THEN
        RAISE EXCEPTION 'task % may not move from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tasks_lawful_moves';
    END IF;
    IF NEW.epoch < OLD.epoch THEN
        RAISE EXCEPTION 'epoch of task % may not go back from % to %', OLD.id, OLD.epoch, NEW.epoch
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tasks_epoch_grows';
    END IF;
    RETURN NEW;
END
$$;
CREATE TABLE public.auth_events (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    user_id bigint NOT NULL,
    session_id uuid,
    kind text NOT NULL,
    CONSTRAINT auth_events_kind CHECK ((kind = ANY (ARRAY['REGISTERED'::text, 'LOGGED_IN'::text, 'REFRESHED'::text, 'REUSE_FOUND'::text, 'LOGGED_OUT'::text, 'PASSWORD_CHANGED'::text]))),
    CONSTRAINT auth_events_session_of_login CHECK (((session_id IS NULL) = (kind = 'REGISTERED'::text)))
);
ALTER TABLE public.auth_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.auth_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.file_pieces (
    file_id bigint NOT NULL,
    start bigint NOT NULL,
    content bytea NOT NULL,
    CONSTRAINT file_pieces_start_check CHECK ((start >= 0))
);
ALTER TABLE ONLY public.file_pieces ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE TABLE public.files (
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    size_bytes bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    sha256 bytea,
    content_type text NOT NULL,
    file_name text NOT NULL,
    CONSTRAINT files_file_name_plain CHECK ((((char_length(file_name) >= 1) AND (char_length(file_name) <= 255)) AND (file_name !~ '[/\\\x01-\x1f\x7f]'::text))),
    CONSTRAINT files_sha256_check CHECK ((octet_length(sha256) = 32)),
    CONSTRAINT files_size_bytes_check CHECK ((size_bytes >= 0))
);
ALTER TABLE public.files ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.files_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.idempotency_keys (
    user_id bigint NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    task_ids bigint[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT idempotency_keys_fingerprint_check CHECK ((octet_length(fingerprint) = 32)),
    CONSTRAINT idempotency_keys_key_shape CHECK (((char_length(key) >= 1) AND (char_length(key) <= 255)))
);
CREATE TABLE public.live_tasks (
    task_id bigint NOT NULL,
    due_at timestamp with time zone NOT NULL,
    ring_at timestamp with time zone NOT NULL,
    rings integer DEFAULT 0 NOT NULL,
    handbacks integer DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    lease_token uuid,
    lease_owner uuid,
    priority smallint DEFAULT 1 NOT NULL,
    progress real,
    progress_message text,
    CONSTRAINT live_tasks_lease_whole CHECK ((num_nulls(lease_until, lease_token, lease_owner) = ANY (ARRAY[0, 3]))),
    CONSTRAINT live_tasks_priority_check CHECK (((priority >= 0) AND (priority <= 2))),
    CONSTRAINT live_tasks_progress_check CHECK (((progress >= (0)::double precision) AND (progress <= (1)::double precision)))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.01');
CREATE TABLE public.pod_ends (
    pod_uid text NOT NULL,
    container text NOT NULL,
    began_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone NOT NULL,
    worker_id uuid NOT NULL,
    pod_name text NOT NULL,
    reason text NOT NULL,
    exit_code integer,
    message text NOT NULL,
    CONSTRAINT pod_ends_message_check CHECK ((length(message) <= 500)),
    CONSTRAINT pod_ends_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 100)))
);
CREATE TABLE public.pool_state (
    is_only boolean DEFAULT true NOT NULL,
    mode text NOT NULL,
    min_replicas integer NOT NULL,
    max_replicas integer NOT NULL,
    desired_replicas integer,
    slots_per_pod integer NOT NULL,
    pod_start_seconds double precision NOT NULL,
    limited_message text,
    held_message text,
    told_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT pool_state_desired_replicas_check CHECK ((desired_replicas >= 0)),
    CONSTRAINT pool_state_is_only_check CHECK (is_only),
    CONSTRAINT pool_state_max_replicas_check CHECK ((max_replicas >= 0)),
    CONSTRAINT pool_state_min_replicas_check CHECK ((min_replicas >= 0)),
    CONSTRAINT pool_state_pod_start_seconds_check CHECK ((pod_start_seconds >= (0)::double precision)),
    CONSTRAINT pool_state_slots_per_pod_check CHECK ((slots_per_pod > 0))
);
CREATE TABLE public.refresh_tokens (
    token_hash bytea NOT NULL,
    family_id uuid NOT NULL,
    generation integer NOT NULL,
    CONSTRAINT refresh_tokens_hash_shape CHECK ((octet_length(token_hash) = 32))
);
CREATE TABLE public.stray_objects (
    key text NOT NULL,
    delete_at timestamp with time zone NOT NULL,
    CONSTRAINT stray_objects_key_check CHECK (((length(key) >= 1) AND (length(key) <= 1024)))
);
CREATE TABLE public.task_events (
    task_id bigint NOT NULL,
    seq integer NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    epoch integer NOT NULL,
    status public.task_status NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    reason text,
    "position" bigint DEFAULT ((pg_current_xact_id())::text)::bigint NOT NULL
);
CREATE TABLE public.task_results (
    task_id bigint NOT NULL,
    epoch integer NOT NULL,
    size_bytes bigint GENERATED ALWAYS AS (octet_length(content)) STORED,
    sha256 bytea NOT NULL,
    content_type text NOT NULL,
    file_name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    content bytea,
    expires_at timestamp with time zone,
    object_key text,
    object_bytes bigint,
    CONSTRAINT task_results_in_one_place CHECK ((((content IS NULL) = (object_key IS NOT NULL)) AND ((object_key IS NULL) = (object_bytes IS NULL)))),
    CONSTRAINT task_results_object_bytes_check CHECK ((object_bytes >= 0)),
    CONSTRAINT task_results_sha256_check CHECK ((octet_length(sha256) = 32))
);
ALTER TABLE ONLY public.task_results ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE TABLE public.task_types (
    name text NOT NULL,
    payload_schema jsonb NOT NULL,
    timeout_seconds integer NOT NULL,
    max_attempts integer NOT NULL,
    published_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT task_types_max_attempts_check CHECK ((max_attempts > 0)),
    CONSTRAINT task_types_timeout_seconds_check CHECK ((timeout_seconds > 0))
);
CREATE TABLE public.tasks (
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    epoch integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    max_attempts integer NOT NULL,
    timeout_seconds integer NOT NULL,
    last_event integer DEFAULT 1 NOT NULL,
    status public.task_status DEFAULT 'PENDING'::public.task_status NOT NULL,
    task_type text NOT NULL,
    trace_context text NOT NULL,
    result_file text,
    error_code text,
    error_message text,
    payload jsonb NOT NULL,
    priority smallint DEFAULT 1 NOT NULL,
    run_at timestamp with time zone,
    retry_of bigint,
    CONSTRAINT tasks_attempts_in_budget CHECK (((attempts >= 0) AND (attempts <= max_attempts))),
    CONSTRAINT tasks_completed_with_result CHECK (((status <> 'COMPLETED'::public.task_status) OR (result_file IS NOT NULL))),
    CONSTRAINT tasks_failed_with_reason CHECK (((status <> 'FAILED'::public.task_status) OR (error_code IS NOT NULL))),
    CONSTRAINT tasks_finished_when_final CHECK (((finished_at IS NOT NULL) = (status = ANY (ARRAY['COMPLETED'::public.task_status, 'FAILED'::public.task_status, 'CANCELLED'::public.task_status])))),
    CONSTRAINT tasks_max_attempts_check CHECK ((max_attempts > 0)),
    CONSTRAINT tasks_priority_check CHECK (((priority >= 0) AND (priority <= 2))),
    CONSTRAINT tasks_timeout_seconds_check CHECK ((timeout_seconds > 0))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.01');
ALTER TABLE public.tasks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.tasks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.token_families (
    id uuid NOT NULL,
    user_id bigint NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    rotated_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone
);
CREATE TABLE public.users (
    id bigint NOT NULL,
    username text NOT NULL,
    password_hash text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT users_username_shape CHECK ((username ~ '^[A-Za-z0-9._-]{3,64}$'::text))
);
ALTER TABLE public.users ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.workers (
    worker_id uuid NOT NULL,
    pod_name text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL,
    completions bigint DEFAULT 0 NOT NULL,
    busy_seconds double precision DEFAULT 0 NOT NULL,
    slots integer DEFAULT 0 NOT NULL,
    busy_slots integer DEFAULT 0 NOT NULL,
    is_cordoned boolean DEFAULT false NOT NULL,
    cordoned_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    is_resting boolean DEFAULT false NOT NULL
)
WITH (fillfactor='50');
ALTER TABLE ONLY public.auth_events
    ADD CONSTRAINT auth_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.file_pieces
    ADD CONSTRAINT file_pieces_pkey PRIMARY KEY (file_id, start);
ALTER TABLE ONLY public.files
    ADD CONSTRAINT files_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, key);
ALTER TABLE ONLY public.live_tasks
    ADD CONSTRAINT live_tasks_pkey PRIMARY KEY (task_id);
ALTER TABLE ONLY public.pod_ends
    ADD CONSTRAINT pod_ends_pkey PRIMARY KEY (pod_uid, container, began_at);
ALTER TABLE ONLY public.pool_state
    ADD CONSTRAINT pool_state_pkey PRIMARY KEY (is_only);
ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (token_hash);
ALTER TABLE ONLY public.stray_objects
    ADD CONSTRAINT stray_objects_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.task_events
    ADD CONSTRAINT task_events_pkey PRIMARY KEY (task_id, seq);
ALTER TABLE ONLY public.task_results
    ADD CONSTRAINT task_results_pkey PRIMARY KEY (task_id);
ALTER TABLE ONLY public.task_types
    ADD CONSTRAINT task_types_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.token_families
    ADD CONSTRAINT token_families_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (worker_id);
CREATE INDEX auth_events_at ON public.auth_events USING btree (at);
CREATE INDEX files_expires_at ON public.files USING btree (expires_at);
CREATE INDEX files_user_id_id ON public.files USING btree (user_id, id);
CREATE INDEX idempotency_keys_created_at ON public.idempotency_keys USING btree (created_at);
CREATE INDEX live_tasks_first_ring ON public.live_tasks USING btree (ring_at) WHERE (rings = 0);
CREATE INDEX live_tasks_waiting ON public.live_tasks USING btree (priority DESC, due_at) WHERE (lease_token IS NULL);
CREATE INDEX pod_ends_ended_at ON public.pod_ends USING btree (ended_at);
CREATE INDEX pod_ends_worker_id ON public.pod_ends USING btree (worker_id);
CREATE INDEX refresh_tokens_family_id ON public.refresh_tokens USING btree (family_id);
CREATE INDEX stray_objects_delete_at ON public.stray_objects USING btree (delete_at);
CREATE INDEX task_events_position ON public.task_events USING btree ("position");
CREATE INDEX task_results_expires_at ON public.task_results USING btree (expires_at) WHERE (expires_at IS NOT NULL);
CREATE UNIQUE INDEX tasks_retry_of ON public.tasks USING btree (retry_of) WHERE (retry_of IS NOT NULL);
CREATE INDEX tasks_user_id_id ON public.tasks USING btree (user_id, id);
CREATE INDEX token_families_expires_at ON public.token_families USING btree (expires_at);
CREATE INDEX token_families_revoked_at ON public.token_families USING btree (revoked_at) WHERE (revoked_at IS NOT NULL);
CREATE INDEX token_families_user_id ON public.token_families USING btree (user_id);
CREATE UNIQUE INDEX users_username_key ON public.users USING btree (lower(username));
CREATE TRIGGER auth_events_append_only BEFORE UPDATE ON public.auth_events FOR EACH ROW EXECUTE FUNCTION public.refuse_auth_event_change();
CREATE TRIGGER task_events_append_only BEFORE UPDATE ON public.task_events FOR EACH ROW EXECUTE FUNCTION public.refuse_event_change();
CREATE TRIGGER task_results_forget_object AFTER DELETE ON public.task_results FOR EACH ROW WHEN ((old.object_key IS NOT NULL)) EXECUTE FUNCTION public.forget_result_object();
CREATE TRIGGER tasks_lawful_moves BEFORE UPDATE ON public.tasks FOR EACH ROW EXECUTE FUNCTION public.refuse_unlawful_move();
ALTER TABLE ONLY public.file_pieces
    ADD CONSTRAINT file_pieces_file_id_fkey FOREIGN KEY (file_id) REFERENCES public.files(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.files
    ADD CONSTRAINT files_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.live_tasks
    ADD CONSTRAINT live_tasks_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_family_id_fkey FOREIGN KEY (family_id) REFERENCES public.token_families(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.task_events
    ADD CONSTRAINT task_events_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.task_results
    ADD CONSTRAINT task_results_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.tasks(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);
ALTER TABLE ONLY public.token_families
    ADD CONSTRAINT token_families_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
