-- Whoever listens for changes of access is told of rows that changed. Told of statements, which may have found none, the
-- enrolment service woke itself without end: it looks for certificates to revoke each time that it is told.
-- depends: 0014.wipe

-- However many rows: a notification that is the same is sent once in a transaction.
DROP TRIGGER device_access_told ON device;
CREATE TRIGGER device_access_told
    AFTER INSERT OR DELETE OR UPDATE OF enabled, credential_generation, credentials_revoked_at ON device
    FOR EACH ROW EXECUTE FUNCTION tell_access();
DROP TRIGGER certificate_revocation_told ON device_certificate;
CREATE TRIGGER certificate_revocation_told
    AFTER UPDATE OF revoked_at ON device_certificate
    FOR EACH ROW EXECUTE FUNCTION tell_access();
DROP TRIGGER certificate_revocation_list_told ON certificate_revocation_list;
CREATE TRIGGER certificate_revocation_list_told
    AFTER INSERT OR UPDATE ON certificate_revocation_list
    FOR EACH ROW EXECUTE FUNCTION tell_access();
DROP TRIGGER device_block_told ON device_block;
CREATE TRIGGER device_block_told
    AFTER INSERT OR UPDATE OR DELETE ON device_block
    FOR EACH ROW EXECUTE FUNCTION tell_access();
DROP TRIGGER device_wipe_told ON device_wipe;
CREATE TRIGGER device_wipe_told
    AFTER INSERT OR DELETE OR UPDATE OF outcome ON device_wipe
    FOR EACH ROW EXECUTE FUNCTION tell_access();
