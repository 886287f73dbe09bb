-- A partner that has the files and asks for the message alone once more.

alter table worker.deliveries
    -- What the transmission before stated (platform_adapters::Receipt::stated), where the files that
    -- it names are not to be sent again. NULL: everything goes.
    add column resend_of jsonb;
