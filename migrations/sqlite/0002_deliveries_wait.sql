-- A delivery waits from the moment it is written, by the statement that writes it: then one statement is the whole
-- transaction, and a batch goes to the database's thread and back once.
CREATE TRIGGER deliveries_wait AFTER INSERT ON deliveries WHEN NEW.handled = 1 BEGIN
    INSERT INTO deliveries_pending (seq) VALUES (NEW.seq);
END;
