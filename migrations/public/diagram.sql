-- The three tables that the web application's diagram names without columns. Their columns are
-- ours: what the diagram's relations need. Created in an empty database only, and never compared
-- or relied upon: in a database of the web application they may look different or be absent.

CREATE TABLE IF NOT EXISTS sub_label_audit_logs (
    id serial PRIMARY KEY,
    user_id integer NOT NULL,
    sub_label_id integer,
    action varchar(100) NOT NULL,
    details jsonb DEFAULT '{}'::jsonb,
    created_at timestamp DEFAULT now(),
    CONSTRAINT sub_label_audit_logs_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT sub_label_audit_logs_sub_label_id_users_id_fk
        FOREIGN KEY (sub_label_id) REFERENCES users (id)
);

CREATE TABLE IF NOT EXISTS release_approvals (
    id serial PRIMARY KEY,
    release_id integer NOT NULL,
    approver_id integer,
    status approval_status NOT NULL DEFAULT 'pending',
    comments text,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT release_approvals_release_id_releases_id_fk
        FOREIGN KEY (release_id) REFERENCES releases (id) ON DELETE CASCADE,
    CONSTRAINT release_approvals_approver_id_users_id_fk
        FOREIGN KEY (approver_id) REFERENCES users (id)
);

CREATE TABLE IF NOT EXISTS account_approvals (
    id serial PRIMARY KEY,
    user_id integer NOT NULL,
    approver_id integer,
    status approval_status NOT NULL DEFAULT 'pending',
    comments text,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT account_approvals_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT account_approvals_approver_id_users_id_fk
        FOREIGN KEY (approver_id) REFERENCES users (id)
);
