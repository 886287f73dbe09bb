
CREATE TYPE public.approval_status AS ENUM (
    'pending',
    'approved',
    'rejected',
    'needs_info',
    'under_review'
);

CREATE TYPE public.content_type AS ENUM (
    'single',
    'album',
    'ep',
    'compilation',
    'remix',
    'live'
);

CREATE TYPE public.distribution_status AS ENUM (
    'pending',
    'processing',
    'distributed',
    'failed',
    'scheduled',
    'canceled'
);

CREATE TYPE public.language AS ENUM (
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

CREATE TYPE public.ownership_type AS ENUM (
    'original',
    'licensed',
    'public_domain',
    'sample_cleared',
    'remix_authorized'
);

CREATE TYPE public.royalty_type AS ENUM (
    'performance',
    'mechanical',
    'synchronization',
    'print',
    'digital'
);

CREATE TYPE public.user_role AS ENUM (
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

CREATE TYPE public.user_status AS ENUM (
    'pending',
    'active',
    'suspended',
    'deactivated',
    'pending_approval',
    'rejected',
    'locked',
    'verification_required'
);

CREATE TABLE public.analytics (
    id integer NOT NULL,
    track_id integer NOT NULL,
    platform_id integer,
    date date NOT NULL,
    streams integer DEFAULT 0,
    downloads integer DEFAULT 0,
    revenue numeric(12,4) DEFAULT '0'::numeric,
    territory character varying(50),
    demographic_data jsonb DEFAULT '{}'::jsonb,
    marketing_source character varying(100),
    playlist_data jsonb DEFAULT '{}'::jsonb,
    created_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.analytics_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.analytics_id_seq OWNED BY public.analytics.id;

CREATE TABLE public.api_keys (
    id integer NOT NULL,
    user_id integer NOT NULL,
    name character varying(50) NOT NULL,
    key character varying(64) NOT NULL,
    scopes text[] NOT NULL,
    last_used timestamp without time zone,
    expires_at timestamp without time zone,
    created_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.api_keys_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.api_keys_id_seq OWNED BY public.api_keys.id;

CREATE TABLE public.daily_stats (
    id integer NOT NULL,
    user_id integer NOT NULL,
    date date NOT NULL,
    total_streams integer DEFAULT 0,
    total_revenue numeric(12,4) DEFAULT '0'::numeric,
    platform_breakdown jsonb DEFAULT '{}'::jsonb,
    territory_breakdown jsonb DEFAULT '{}'::jsonb,
    track_performance jsonb DEFAULT '{}'::jsonb,
    release_performance jsonb DEFAULT '{}'::jsonb,
    trend_data jsonb DEFAULT '{}'::jsonb,
    created_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.daily_stats_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.daily_stats_id_seq OWNED BY public.daily_stats.id;

CREATE TABLE public.distribution_platforms (
    id integer NOT NULL,
    name character varying(100) NOT NULL,
    logo_url character varying(255),
    api_endpoint character varying(255),
    api_credentials jsonb DEFAULT '{}'::jsonb,
    status character varying(20) DEFAULT 'active'::character varying,
    delivery_method character varying(50) NOT NULL,
    requirements jsonb DEFAULT '{}'::jsonb,
    format_specs jsonb DEFAULT '{}'::jsonb,
    supported_content text[],
    territory_restrictions text[],
    processing_time character varying(50),
    royalty_rate numeric(10,6),
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.distribution_platforms_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.distribution_platforms_id_seq OWNED BY public.distribution_platforms.id;

CREATE TABLE public.distribution_records (
    id integer NOT NULL,
    release_id integer NOT NULL,
    platform_id integer NOT NULL,
    status public.distribution_status DEFAULT 'pending'::public.distribution_status NOT NULL,
    distribution_date timestamp without time zone,
    platform_release_id character varying(100),
    platform_url character varying(255),
    error_details text,
    processing_details jsonb DEFAULT '{}'::jsonb,
    submission_history jsonb[] DEFAULT '{}'::jsonb[],
    last_status_update timestamp without time zone,
    metadata jsonb DEFAULT '{}'::jsonb,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.distribution_records_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.distribution_records_id_seq OWNED BY public.distribution_records.id;

CREATE TABLE public.payment_methods (
    id integer NOT NULL,
    user_id integer NOT NULL,
    type character varying(50) NOT NULL,
    name character varying(100) NOT NULL,
    details jsonb NOT NULL,
    is_default boolean DEFAULT false,
    status character varying(20) DEFAULT 'active'::character varying,
    last_used timestamp without time zone,
    verification_status character varying(20) DEFAULT 'pending'::character varying,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.payment_methods_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.payment_methods_id_seq OWNED BY public.payment_methods.id;

CREATE TABLE public.permission_templates (
    id integer NOT NULL,
    name character varying(100) NOT NULL,
    description text,
    permissions jsonb NOT NULL,
    is_default boolean DEFAULT false,
    created_by integer NOT NULL,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.permission_templates_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.permission_templates_id_seq OWNED BY public.permission_templates.id;

CREATE TABLE public.releases (
    id integer NOT NULL,
    user_id integer NOT NULL,
    title character varying(255) NOT NULL,
    type public.content_type NOT NULL,
    release_date timestamp without time zone NOT NULL,
    artwork character varying(255),
    upc character varying(20),
    genre character varying(50),
    language public.language DEFAULT 'english'::public.language,
    is_explicit boolean DEFAULT false,
    description text,
    artist_names character varying(255) NOT NULL,
    status character varying(50) DEFAULT 'draft'::character varying,
    metadata jsonb DEFAULT '{}'::jsonb,
    tags jsonb DEFAULT '{}'::jsonb,
    ai_analysis jsonb DEFAULT '{}'::jsonb,
    credits jsonb DEFAULT '{}'::jsonb,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.releases_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.releases_id_seq OWNED BY public.releases.id;

CREATE TABLE public.revenue_shares (
    id integer NOT NULL,
    release_id integer,
    track_id integer,
    user_id integer NOT NULL,
    percentage numeric(5,2) NOT NULL,
    role character varying(50) NOT NULL,
    name character varying(100) NOT NULL,
    email character varying(255),
    status character varying(20) DEFAULT 'pending'::character varying,
    agreement character varying(255),
    split_type character varying(50) DEFAULT 'royalty'::character varying,
    custom_terms jsonb DEFAULT '{}'::jsonb,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.revenue_shares_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.revenue_shares_id_seq OWNED BY public.revenue_shares.id;

CREATE TABLE public.rights_management (
    id integer NOT NULL,
    release_id integer,
    track_id integer,
    user_id integer NOT NULL,
    ownership_type public.ownership_type NOT NULL,
    verification_status character varying(20) DEFAULT 'pending'::character varying,
    verification_date timestamp without time zone,
    verified_by integer,
    documentation_url character varying(255),
    expiration_date timestamp without time zone,
    territories text[],
    royalty_terms jsonb DEFAULT '{}'::jsonb,
    license_terms jsonb DEFAULT '{}'::jsonb,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.rights_management_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.rights_management_id_seq OWNED BY public.rights_management.id;

CREATE TABLE public.royalty_calculations (
    id integer NOT NULL,
    track_id integer NOT NULL,
    platform_id integer,
    distribution_id integer,
    period character varying(20) NOT NULL,
    streams integer DEFAULT 0,
    revenue numeric(12,4) DEFAULT '0'::numeric,
    royalty_type public.royalty_type NOT NULL,
    calculation_date timestamp without time zone NOT NULL,
    status character varying(20) DEFAULT 'pending'::character varying,
    paid_date timestamp without time zone,
    details jsonb DEFAULT '{}'::jsonb,
    exchange_rate numeric(10,6),
    currency character varying(3) DEFAULT 'USD'::character varying,
    territory character varying(50),
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.royalty_calculations_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.royalty_calculations_id_seq OWNED BY public.royalty_calculations.id;

CREATE TABLE public.scheduled_distributions (
    id integer NOT NULL,
    release_id integer NOT NULL,
    user_id integer NOT NULL,
    scheduled_date timestamp without time zone NOT NULL,
    platform_ids integer[] NOT NULL,
    status character varying(20) DEFAULT 'pending'::character varying NOT NULL,
    completed_platform_ids integer[] DEFAULT '{}'::integer[],
    failed_platforms jsonb DEFAULT '{}'::jsonb,
    notification_sent boolean DEFAULT false,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.scheduled_distributions_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.scheduled_distributions_id_seq OWNED BY public.scheduled_distributions.id;

CREATE TABLE public.super_admins (
    id integer NOT NULL,
    user_id integer NOT NULL,
    permissions jsonb DEFAULT '{}'::jsonb,
    last_login timestamp without time zone,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.super_admins_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.super_admins_id_seq OWNED BY public.super_admins.id;

CREATE TABLE public.support_ticket_messages (
    id integer NOT NULL,
    ticket_id integer NOT NULL,
    user_id integer NOT NULL,
    message text NOT NULL,
    attachments jsonb DEFAULT '[]'::jsonb,
    is_internal boolean DEFAULT false,
    created_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.support_ticket_messages_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.support_ticket_messages_id_seq OWNED BY public.support_ticket_messages.id;

CREATE TABLE public.support_tickets (
    id integer NOT NULL,
    user_id integer NOT NULL,
    subject character varying(255) NOT NULL,
    description text NOT NULL,
    status character varying(20) DEFAULT 'open'::character varying NOT NULL,
    priority character varying(20) DEFAULT 'medium'::character varying,
    category character varying(50) NOT NULL,
    assigned_to integer,
    last_response_date timestamp without time zone,
    resolution text,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.support_tickets_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.support_tickets_id_seq OWNED BY public.support_tickets.id;

CREATE TABLE public.tracks (
    id integer NOT NULL,
    release_id integer,
    user_id integer NOT NULL,
    title character varying(255) NOT NULL,
    artist character varying(255) NOT NULL,
    duration integer,
    audio_file character varying(255),
    isrc character varying(15),
    track_number integer,
    is_explicit boolean DEFAULT false,
    lyrics text,
    genre character varying(50),
    language public.language DEFAULT 'english'::public.language,
    bpm integer,
    key character varying(10),
    metadata jsonb DEFAULT '{}'::jsonb,
    tags jsonb DEFAULT '{}'::jsonb,
    ai_analysis jsonb DEFAULT '{}'::jsonb,
    credits jsonb DEFAULT '{}'::jsonb,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.tracks_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.tracks_id_seq OWNED BY public.tracks.id;

CREATE TABLE public.users (
    id integer NOT NULL,
    username character varying(50) NOT NULL,
    email character varying(255) NOT NULL,
    password character varying(255) NOT NULL,
    full_name character varying(100) NOT NULL,
    role public.user_role DEFAULT 'artist'::public.user_role NOT NULL,
    status public.user_status DEFAULT 'pending'::public.user_status NOT NULL,
    profile jsonb DEFAULT '{}'::jsonb,
    settings jsonb DEFAULT '{}'::jsonb,
    parent_label_id integer,
    approval_status public.approval_status DEFAULT 'pending'::public.approval_status,
    email_verified boolean DEFAULT false,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.users_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.users_id_seq OWNED BY public.users.id;

CREATE TABLE public.withdrawals (
    id integer NOT NULL,
    user_id integer NOT NULL,
    payment_method_id integer NOT NULL,
    amount numeric(12,4) NOT NULL,
    currency character varying(3) DEFAULT 'USD'::character varying,
    status character varying(20) DEFAULT 'pending'::character varying,
    processing_date timestamp without time zone,
    completion_date timestamp without time zone,
    reference character varying(100),
    notes text,
    admin_id integer,
    created_at timestamp without time zone DEFAULT now(),
    updated_at timestamp without time zone DEFAULT now()
);

CREATE SEQUENCE public.withdrawals_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.withdrawals_id_seq OWNED BY public.withdrawals.id;

ALTER TABLE ONLY public.analytics ALTER COLUMN id SET DEFAULT nextval('public.analytics_id_seq'::regclass);

ALTER TABLE ONLY public.api_keys ALTER COLUMN id SET DEFAULT nextval('public.api_keys_id_seq'::regclass);

ALTER TABLE ONLY public.daily_stats ALTER COLUMN id SET DEFAULT nextval('public.daily_stats_id_seq'::regclass);

ALTER TABLE ONLY public.distribution_platforms ALTER COLUMN id SET DEFAULT nextval('public.distribution_platforms_id_seq'::regclass);

ALTER TABLE ONLY public.distribution_records ALTER COLUMN id SET DEFAULT nextval('public.distribution_records_id_seq'::regclass);

ALTER TABLE ONLY public.payment_methods ALTER COLUMN id SET DEFAULT nextval('public.payment_methods_id_seq'::regclass);

ALTER TABLE ONLY public.permission_templates ALTER COLUMN id SET DEFAULT nextval('public.permission_templates_id_seq'::regclass);

ALTER TABLE ONLY public.releases ALTER COLUMN id SET DEFAULT nextval('public.releases_id_seq'::regclass);

ALTER TABLE ONLY public.revenue_shares ALTER COLUMN id SET DEFAULT nextval('public.revenue_shares_id_seq'::regclass);

ALTER TABLE ONLY public.rights_management ALTER COLUMN id SET DEFAULT nextval('public.rights_management_id_seq'::regclass);

ALTER TABLE ONLY public.royalty_calculations ALTER COLUMN id SET DEFAULT nextval('public.royalty_calculations_id_seq'::regclass);

ALTER TABLE ONLY public.scheduled_distributions ALTER COLUMN id SET DEFAULT nextval('public.scheduled_distributions_id_seq'::regclass);

ALTER TABLE ONLY public.super_admins ALTER COLUMN id SET DEFAULT nextval('public.super_admins_id_seq'::regclass);

ALTER TABLE ONLY public.support_ticket_messages ALTER COLUMN id SET DEFAULT nextval('public.support_ticket_messages_id_seq'::regclass);

ALTER TABLE ONLY public.support_tickets ALTER COLUMN id SET DEFAULT nextval('public.support_tickets_id_seq'::regclass);

ALTER TABLE ONLY public.tracks ALTER COLUMN id SET DEFAULT nextval('public.tracks_id_seq'::regclass);

ALTER TABLE ONLY public.users ALTER COLUMN id SET DEFAULT nextval('public.users_id_seq'::regclass);

ALTER TABLE ONLY public.withdrawals ALTER COLUMN id SET DEFAULT nextval('public.withdrawals_id_seq'::regclass);

ALTER TABLE ONLY public.analytics
    ADD CONSTRAINT analytics_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_key_unique UNIQUE (key);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.daily_stats
    ADD CONSTRAINT daily_stats_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.distribution_platforms
    ADD CONSTRAINT distribution_platforms_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.distribution_records
    ADD CONSTRAINT distribution_records_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.payment_methods
    ADD CONSTRAINT payment_methods_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.permission_templates
    ADD CONSTRAINT permission_templates_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_upc_unique UNIQUE (upc);

ALTER TABLE ONLY public.revenue_shares
    ADD CONSTRAINT revenue_shares_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.rights_management
    ADD CONSTRAINT rights_management_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.royalty_calculations
    ADD CONSTRAINT royalty_calculations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.scheduled_distributions
    ADD CONSTRAINT scheduled_distributions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.super_admins
    ADD CONSTRAINT super_admins_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.super_admins
    ADD CONSTRAINT super_admins_user_id_unique UNIQUE (user_id);

ALTER TABLE ONLY public.support_ticket_messages
    ADD CONSTRAINT support_ticket_messages_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.support_tickets
    ADD CONSTRAINT support_tickets_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tracks
    ADD CONSTRAINT tracks_isrc_unique UNIQUE (isrc);

ALTER TABLE ONLY public.tracks
    ADD CONSTRAINT tracks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_email_unique UNIQUE (email);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_username_unique UNIQUE (username);

ALTER TABLE ONLY public.withdrawals
    ADD CONSTRAINT withdrawals_pkey PRIMARY KEY (id);

CREATE INDEX idx_analytics_date ON public.analytics USING btree (date);

CREATE INDEX idx_analytics_track_id ON public.analytics USING btree (track_id);

CREATE INDEX idx_analytics_track_id_date ON public.analytics USING btree (track_id, date);

CREATE INDEX idx_tracks_isrc ON public.tracks USING btree (isrc);

CREATE INDEX idx_tracks_release_id ON public.tracks USING btree (release_id);

CREATE INDEX idx_tracks_user_id ON public.tracks USING btree (user_id);

ALTER TABLE ONLY public.analytics
    ADD CONSTRAINT analytics_platform_id_distribution_platforms_id_fk FOREIGN KEY (platform_id) REFERENCES public.distribution_platforms(id);

ALTER TABLE ONLY public.analytics
    ADD CONSTRAINT analytics_track_id_tracks_id_fk FOREIGN KEY (track_id) REFERENCES public.tracks(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.daily_stats
    ADD CONSTRAINT daily_stats_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.distribution_records
    ADD CONSTRAINT distribution_records_platform_id_distribution_platforms_id_fk FOREIGN KEY (platform_id) REFERENCES public.distribution_platforms(id);

ALTER TABLE ONLY public.distribution_records
    ADD CONSTRAINT distribution_records_release_id_releases_id_fk FOREIGN KEY (release_id) REFERENCES public.releases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.payment_methods
    ADD CONSTRAINT payment_methods_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.permission_templates
    ADD CONSTRAINT permission_templates_created_by_users_id_fk FOREIGN KEY (created_by) REFERENCES public.users(id);

ALTER TABLE ONLY public.releases
    ADD CONSTRAINT releases_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.revenue_shares
    ADD CONSTRAINT revenue_shares_release_id_releases_id_fk FOREIGN KEY (release_id) REFERENCES public.releases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.revenue_shares
    ADD CONSTRAINT revenue_shares_track_id_tracks_id_fk FOREIGN KEY (track_id) REFERENCES public.tracks(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.revenue_shares
    ADD CONSTRAINT revenue_shares_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.rights_management
    ADD CONSTRAINT rights_management_release_id_releases_id_fk FOREIGN KEY (release_id) REFERENCES public.releases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.rights_management
    ADD CONSTRAINT rights_management_track_id_tracks_id_fk FOREIGN KEY (track_id) REFERENCES public.tracks(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.rights_management
    ADD CONSTRAINT rights_management_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.rights_management
    ADD CONSTRAINT rights_management_verified_by_users_id_fk FOREIGN KEY (verified_by) REFERENCES public.users(id);

ALTER TABLE ONLY public.royalty_calculations
    ADD CONSTRAINT royalty_calculations_distribution_id_distribution_records_id_fk FOREIGN KEY (distribution_id) REFERENCES public.distribution_records(id);

ALTER TABLE ONLY public.royalty_calculations
    ADD CONSTRAINT royalty_calculations_platform_id_distribution_platforms_id_fk FOREIGN KEY (platform_id) REFERENCES public.distribution_platforms(id);

ALTER TABLE ONLY public.royalty_calculations
    ADD CONSTRAINT royalty_calculations_track_id_tracks_id_fk FOREIGN KEY (track_id) REFERENCES public.tracks(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.scheduled_distributions
    ADD CONSTRAINT scheduled_distributions_release_id_releases_id_fk FOREIGN KEY (release_id) REFERENCES public.releases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.scheduled_distributions
    ADD CONSTRAINT scheduled_distributions_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.super_admins
    ADD CONSTRAINT super_admins_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.support_ticket_messages
    ADD CONSTRAINT support_ticket_messages_ticket_id_support_tickets_id_fk FOREIGN KEY (ticket_id) REFERENCES public.support_tickets(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.support_ticket_messages
    ADD CONSTRAINT support_ticket_messages_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.support_tickets
    ADD CONSTRAINT support_tickets_assigned_to_users_id_fk FOREIGN KEY (assigned_to) REFERENCES public.users(id);

ALTER TABLE ONLY public.support_tickets
    ADD CONSTRAINT support_tickets_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.tracks
    ADD CONSTRAINT tracks_release_id_releases_id_fk FOREIGN KEY (release_id) REFERENCES public.releases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.tracks
    ADD CONSTRAINT tracks_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_parent_label_id_users_id_fk FOREIGN KEY (parent_label_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.withdrawals
    ADD CONSTRAINT withdrawals_admin_id_users_id_fk FOREIGN KEY (admin_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.withdrawals
    ADD CONSTRAINT withdrawals_payment_method_id_payment_methods_id_fk FOREIGN KEY (payment_method_id) REFERENCES public.payment_methods(id);

ALTER TABLE ONLY public.withdrawals
    ADD CONSTRAINT withdrawals_user_id_users_id_fk FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

