-- Which weights wrote a step, and in which form they were asked: a folder's may change under its name.
ALTER TABLE steps ADD COLUMN revision VARCHAR;
ALTER TABLE steps ADD COLUMN form VARCHAR;

-- A view keeps the columns that it was made with.
CREATE OR REPLACE VIEW current_steps AS
SELECT * FROM steps
QUALIFY row_number() OVER (PARTITION BY chain, position ORDER BY seq DESC) = 1;
