-- Purpose: the rights of homerec_reader, which backends read with: it may read, and nothing else.
GRANT USAGE ON SCHEMA homerec TO homerec_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA homerec TO homerec_reader;
REVOKE ALL ON FUNCTION public.home(text, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.home(text, timestamptz, text) TO homerec_reader;
