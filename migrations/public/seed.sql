-- The tables of the web application, to the letter of its schema: names, types, defaults,
-- references, enumerations and indexes, with the names Drizzle gives to constraints.
--
-- Created in an empty database. A database that has them is compared with this file and never
-- altered. Names stand without a schema: they are created in whichever schema comes first in
-- search_path, `public` for good, or a temporary one to compare with.

CREATE TYPE user_role AS ENUM (
    'artist',
    'label',
    'distributor',
    'admin',
    'sub_label',
    'publisher',
    'accountant',
    'marketing',
    'support',
    'viewer'
);

CREATE TYPE user_status AS ENUM (
    'pending',
    'active',
    'suspended',
    'deactivated',
    'pending_approval',
    'rejected',
    'locked',
    'verification_required'
);

CREATE TYPE approval_status AS ENUM (
    'pending',
    'approved',
    'rejected',
    'needs_info',
    'under_review'
);

CREATE TYPE content_type AS ENUM (
    'single',
    'album',
    'ep',
    'compilation',
    'remix',
    'live'
);

CREATE TYPE language AS ENUM (
    'english',
    'spanish',
    'french',
    'german',
    'hindi',
    'japanese',
    'korean',
    'portuguese',
    'russian',
    'mandarin',
    'cantonese',
    'arabic',
    'instrumental'
);

CREATE TYPE distribution_status AS ENUM (
    'pending',
    'processing',
    'distributed',
    'failed',
    'scheduled',
    'canceled'
);

CREATE TYPE royalty_type AS ENUM (
    'performance',
    'mechanical',
    'synchronization',
    'print',
    'digital'
);

CREATE TYPE ownership_type AS ENUM (
    'original',
    'licensed',
    'public_domain',
    'sample_cleared',
    'remix_authorized'
);

CREATE TABLE users (
    id serial PRIMARY KEY,
    username varchar(50) NOT NULL,
    email varchar(255) NOT NULL,
    password varchar(255) NOT NULL,
    full_name varchar(100) NOT NULL,
    role user_role NOT NULL DEFAULT 'artist',
    status user_status NOT NULL DEFAULT 'pending',
    profile jsonb DEFAULT '{}'::jsonb,
    settings jsonb DEFAULT '{}'::jsonb,
    parent_label_id integer,
    approval_status approval_status DEFAULT 'pending',
    email_verified boolean DEFAULT false,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT users_username_unique UNIQUE (username),
    CONSTRAINT users_email_unique UNIQUE (email),
    CONSTRAINT users_parent_label_id_users_id_fk
        FOREIGN KEY (parent_label_id) REFERENCES users (id)
);

CREATE TABLE api_keys (
    id serial PRIMARY KEY,
    user_id integer NOT NULL,
    name varchar(50) NOT NULL,
    key varchar(64) NOT NULL,
    scopes text[] NOT NULL,
    last_used timestamp,
    expires_at timestamp,
    created_at timestamp DEFAULT now(),
    CONSTRAINT api_keys_key_unique UNIQUE (key),
    CONSTRAINT api_keys_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE releases (
    id serial PRIMARY KEY,
    user_id integer NOT NULL,
    title varchar(255) NOT NULL,
    type content_type NOT NULL,
    release_date timestamp NOT NULL,
    artwork varchar(255),
    upc varchar(20),
    genre varchar(50),
    language language DEFAULT 'english',
    is_explicit boolean DEFAULT false,
    description text,
    artist_names varchar(255) NOT NULL,
    status varchar(50) DEFAULT 'draft',
    metadata jsonb DEFAULT '{}'::jsonb,
    tags jsonb DEFAULT '{}'::jsonb,
    ai_analysis jsonb DEFAULT '{}'::jsonb,
    credits jsonb DEFAULT '{}'::jsonb,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT releases_upc_unique UNIQUE (upc),
    CONSTRAINT releases_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE tracks (
    id serial PRIMARY KEY,
    release_id integer,
    user_id integer NOT NULL,
    title varchar(255) NOT NULL,
    artist varchar(255) NOT NULL,
    duration integer,
    audio_file varchar(255),
    isrc varchar(15),
    track_number integer,
    is_explicit boolean DEFAULT false,
    lyrics text,
    genre varchar(50),
    language language DEFAULT 'english',
    bpm integer,
    key varchar(10),
    metadata jsonb DEFAULT '{}'::jsonb,
    tags jsonb DEFAULT '{}'::jsonb,
    ai_analysis jsonb DEFAULT '{}'::jsonb,
    credits jsonb DEFAULT '{}'::jsonb,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT tracks_isrc_unique UNIQUE (isrc),
    CONSTRAINT tracks_release_id_releases_id_fk
        FOREIGN KEY (release_id) REFERENCES releases (id) ON DELETE CASCADE,
    CONSTRAINT tracks_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX idx_tracks_user_id ON tracks USING btree (user_id);
CREATE INDEX idx_tracks_release_id ON tracks USING btree (release_id);
CREATE INDEX idx_tracks_isrc ON tracks USING btree (isrc);

CREATE TABLE distribution_platforms (
    id serial PRIMARY KEY,
    name varchar(100) NOT NULL,
    logo_url varchar(255),
    api_endpoint varchar(255),
    api_credentials jsonb DEFAULT '{}'::jsonb,
    status varchar(20) DEFAULT 'active',
    delivery_method varchar(50) NOT NULL,
    requirements jsonb DEFAULT '{}'::jsonb,
    format_specs jsonb DEFAULT '{}'::jsonb,
    supported_content text[],
    territory_restrictions text[],
    processing_time varchar(50),
    royalty_rate numeric(10, 6),
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now()
);

CREATE TABLE distribution_records (
    id serial PRIMARY KEY,
    release_id integer NOT NULL,
    platform_id integer NOT NULL,
    status distribution_status NOT NULL DEFAULT 'pending',
    distribution_date timestamp,
    platform_release_id varchar(100),
    platform_url varchar(255),
    error_details text,
    processing_details jsonb DEFAULT '{}'::jsonb,
    submission_history jsonb[] DEFAULT '{}',
    last_status_update timestamp,
    metadata jsonb DEFAULT '{}'::jsonb,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT distribution_records_release_id_releases_id_fk
        FOREIGN KEY (release_id) REFERENCES releases (id) ON DELETE CASCADE,
    CONSTRAINT distribution_records_platform_id_distribution_platforms_id_fk
        FOREIGN KEY (platform_id) REFERENCES distribution_platforms (id)
);

CREATE TABLE scheduled_distributions (
    id serial PRIMARY KEY,
    release_id integer NOT NULL,
    user_id integer NOT NULL,
    scheduled_date timestamp NOT NULL,
    platform_ids integer[] NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'pending',
    completed_platform_ids integer[] DEFAULT '{}',
    failed_platforms jsonb DEFAULT '{}'::jsonb,
    notification_sent boolean DEFAULT false,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT scheduled_distributions_release_id_releases_id_fk
        FOREIGN KEY (release_id) REFERENCES releases (id) ON DELETE CASCADE,
    CONSTRAINT scheduled_distributions_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE TABLE royalty_calculations (
    id serial PRIMARY KEY,
    track_id integer NOT NULL,
    platform_id integer,
    distribution_id integer,
    period varchar(20) NOT NULL,
    streams integer DEFAULT 0,
    revenue numeric(12, 4) DEFAULT '0',
    royalty_type royalty_type NOT NULL,
    calculation_date timestamp NOT NULL,
    status varchar(20) DEFAULT 'pending',
    paid_date timestamp,
    details jsonb DEFAULT '{}'::jsonb,
    exchange_rate numeric(10, 6),
    currency varchar(3) DEFAULT 'USD',
    territory varchar(50),
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT royalty_calculations_track_id_tracks_id_fk
        FOREIGN KEY (track_id) REFERENCES tracks (id) ON DELETE CASCADE,
    CONSTRAINT royalty_calculations_platform_id_distribution_platforms_id_fk
        FOREIGN KEY (platform_id) REFERENCES distribution_platforms (id),
    CONSTRAINT royalty_calculations_distribution_id_distribution_records_id_fk
        FOREIGN KEY (distribution_id) REFERENCES distribution_records (id)
);

CREATE TABLE revenue_shares (
    id serial PRIMARY KEY,
    release_id integer,
    track_id integer,
    user_id integer NOT NULL,
    percentage numeric(5, 2) NOT NULL,
    role varchar(50) NOT NULL,
    name varchar(100) NOT NULL,
    email varchar(255),
    status varchar(20) DEFAULT 'pending',
    agreement varchar(255),
    split_type varchar(50) DEFAULT 'royalty',
    custom_terms jsonb DEFAULT '{}'::jsonb,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT revenue_shares_release_id_releases_id_fk
        FOREIGN KEY (release_id) REFERENCES releases (id) ON DELETE CASCADE,
    CONSTRAINT revenue_shares_track_id_tracks_id_fk
        FOREIGN KEY (track_id) REFERENCES tracks (id) ON DELETE CASCADE,
    CONSTRAINT revenue_shares_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE TABLE payment_methods (
    id serial PRIMARY KEY,
    user_id integer NOT NULL,
    type varchar(50) NOT NULL,
    name varchar(100) NOT NULL,
    details jsonb NOT NULL,
    is_default boolean DEFAULT false,
    status varchar(20) DEFAULT 'active',
    last_used timestamp,
    verification_status varchar(20) DEFAULT 'pending',
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT payment_methods_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE withdrawals (
    id serial PRIMARY KEY,
    user_id integer NOT NULL,
    payment_method_id integer NOT NULL,
    amount numeric(12, 4) NOT NULL,
    currency varchar(3) DEFAULT 'USD',
    status varchar(20) DEFAULT 'pending',
    processing_date timestamp,
    completion_date timestamp,
    reference varchar(100),
    notes text,
    admin_id integer,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT withdrawals_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT withdrawals_payment_method_id_payment_methods_id_fk
        FOREIGN KEY (payment_method_id) REFERENCES payment_methods (id),
    CONSTRAINT withdrawals_admin_id_users_id_fk
        FOREIGN KEY (admin_id) REFERENCES users (id)
);

CREATE TABLE analytics (
    id serial PRIMARY KEY,
    track_id integer NOT NULL,
    platform_id integer,
    date date NOT NULL,
    streams integer DEFAULT 0,
    downloads integer DEFAULT 0,
    revenue numeric(12, 4) DEFAULT '0',
    territory varchar(50),
    demographic_data jsonb DEFAULT '{}'::jsonb,
    marketing_source varchar(100),
    playlist_data jsonb DEFAULT '{}'::jsonb,
    created_at timestamp DEFAULT now(),
    CONSTRAINT analytics_track_id_tracks_id_fk
        FOREIGN KEY (track_id) REFERENCES tracks (id) ON DELETE CASCADE,
    CONSTRAINT analytics_platform_id_distribution_platforms_id_fk
        FOREIGN KEY (platform_id) REFERENCES distribution_platforms (id)
);

CREATE INDEX idx_analytics_track_id ON analytics USING btree (track_id);
CREATE INDEX idx_analytics_date ON analytics USING btree (date);
CREATE INDEX idx_analytics_track_id_date ON analytics USING btree (track_id, date);

CREATE TABLE daily_stats (
    id serial PRIMARY KEY,
    user_id integer NOT NULL,
    date date NOT NULL,
    total_streams integer DEFAULT 0,
    total_revenue numeric(12, 4) DEFAULT '0',
    platform_breakdown jsonb DEFAULT '{}'::jsonb,
    territory_breakdown jsonb DEFAULT '{}'::jsonb,
    track_performance jsonb DEFAULT '{}'::jsonb,
    release_performance jsonb DEFAULT '{}'::jsonb,
    trend_data jsonb DEFAULT '{}'::jsonb,
    created_at timestamp DEFAULT now(),
    CONSTRAINT daily_stats_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE TABLE rights_management (
    id serial PRIMARY KEY,
    release_id integer,
    track_id integer,
    user_id integer NOT NULL,
    ownership_type ownership_type NOT NULL,
    verification_status varchar(20) DEFAULT 'pending',
    verification_date timestamp,
    verified_by integer,
    documentation_url varchar(255),
    expiration_date timestamp,
    territories text[],
    royalty_terms jsonb DEFAULT '{}'::jsonb,
    license_terms jsonb DEFAULT '{}'::jsonb,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT rights_management_release_id_releases_id_fk
        FOREIGN KEY (release_id) REFERENCES releases (id) ON DELETE CASCADE,
    CONSTRAINT rights_management_track_id_tracks_id_fk
        FOREIGN KEY (track_id) REFERENCES tracks (id) ON DELETE CASCADE,
    CONSTRAINT rights_management_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT rights_management_verified_by_users_id_fk
        FOREIGN KEY (verified_by) REFERENCES users (id)
);

CREATE TABLE support_tickets (
    id serial PRIMARY KEY,
    user_id integer NOT NULL,
    subject varchar(255) NOT NULL,
    description text NOT NULL,
    status varchar(20) NOT NULL DEFAULT 'open',
    priority varchar(20) DEFAULT 'medium',
    category varchar(50) NOT NULL,
    assigned_to integer,
    last_response_date timestamp,
    resolution text,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT support_tickets_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT support_tickets_assigned_to_users_id_fk
        FOREIGN KEY (assigned_to) REFERENCES users (id)
);

CREATE TABLE support_ticket_messages (
    id serial PRIMARY KEY,
    ticket_id integer NOT NULL,
    user_id integer NOT NULL,
    message text NOT NULL,
    attachments jsonb DEFAULT '[]'::jsonb,
    is_internal boolean DEFAULT false,
    created_at timestamp DEFAULT now(),
    CONSTRAINT support_ticket_messages_ticket_id_support_tickets_id_fk
        FOREIGN KEY (ticket_id) REFERENCES support_tickets (id) ON DELETE CASCADE,
    CONSTRAINT support_ticket_messages_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE TABLE super_admins (
    id serial PRIMARY KEY,
    user_id integer NOT NULL,
    permissions jsonb DEFAULT '{}'::jsonb,
    last_login timestamp,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT super_admins_user_id_unique UNIQUE (user_id),
    CONSTRAINT super_admins_user_id_users_id_fk
        FOREIGN KEY (user_id) REFERENCES users (id)
);

CREATE TABLE permission_templates (
    id serial PRIMARY KEY,
    name varchar(100) NOT NULL,
    description text,
    permissions jsonb NOT NULL,
    is_default boolean DEFAULT false,
    created_by integer NOT NULL,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    CONSTRAINT permission_templates_created_by_users_id_fk
        FOREIGN KEY (created_by) REFERENCES users (id)
);
